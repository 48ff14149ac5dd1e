//! Real wheels: what honest tools of ten years wrote is not a stranger's trick.

use std::process::Command;

use magic_module::unpack::{Limits, Pack};

use super::independent;

/// Popular wheels of different shapes: from one file to thousands, pure and compiled,
/// written by setuptools, flit, hatchling, poetry, maturin, meson, scikit-build and zip.
const WHEELS: &[&str] = &[
    "aiohttp==3.14.5",
    "anyio==4.16.0",
    "attrs==16.0.0",
    "babel==2.18.0",
    "black==26.10.1",
    "certifi==2026.10.18",
    "cffi==2.1.1",
    "charset-normalizer==3.5.2",
    "click==6.6",
    "cryptography==50.0.2",
    "django==6.1.3",
    "docutils==0.12",
    "fastapi==0.165.0",
    "fonttools==4.68.0",
    "frozenlist==1.8.0",
    "greenlet==3.5.6",
    "httpx==0.28.1",
    "hypothesis==6.170.15",
    "idna==2.1",
    "jedi==0.20.1",
    "jsonschema==4.26.0",
    "kiwisolver==1.5.1",
    "lxml==6.1.3",
    "markdown-it-py==4.3.0",
    "markupsafe==3.0.4",
    "msgpack==1.2.4",
    "multidict==7.2.1",
    "numpy==2.5.5",
    "orjson==3.13.0",
    "packaging==26.3",
    "pillow==13.0.0",
    "pip==9.0.1",
    "protobuf==7.36.2",
    "psutil==7.2.2",
    "pydantic==2.14.3",
    "pydantic-core==2.50.4",
    "pygments==2.21.0",
    "pytest==9.2.0",
    "python-dateutil==2.5.3",
    "pytz==2016.10",
    "pyyaml==6.0.3",
    "regex==2026.11.15",
    "requests==2.9.1",
    "rich==15.0.0",
    "rpds-py==2026.9.1",
    "setuptools==28.8.0",
    "six==1.9.0",
    "sortedcontainers==2.4.0",
    "sphinx==9.1.1",
    "sqlalchemy==2.1.9",
    "starlette==1.10.0",
    "tqdm==4.8.4",
    "typing-extensions==4.16.0",
    "tzdata==2026.6",
    "urllib3==1.20",
    "werkzeug==0.11.10",
    "wheel==0.24.0",
    "yarl==1.25.1",
    "zstandard==0.25.0",
    "boto3==1.4.0",
    "botocore==1.4.93",
    "Flask==0.12",
    "Jinja2==2.8",
    "pbr==1.10.0",
    "maturin==1.7.4",
    "flit-core==3.9.0",
    "hatchling==1.25.0",
    "poetry-core==1.9.0",
    "trove-classifiers==2024.7.2",
    "ninja==1.11.1.1",
];

#[test]
#[ignore = "needs a package index: run with `make torture-archives`"]
fn real_wheels_are_read_as_others_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args([
            "--only-binary=:all:",
            "--python-version=3.12",
            "--implementation=cp",
            "--abi=cp312",
        ])
        .args(["--abi=abi3", "--abi=none", "--platform=manylinux_2_28_x86_64"])
        .args([
            "--platform=manylinux_2_26_x86_64",
            "--platform=manylinux_2_27_x86_64",
            "--platform=manylinux_2_24_x86_64",
        ])
        .args(["--platform=manylinux_2_17_x86_64", "--platform=manylinux2014_x86_64"])
        .args(["--platform=manylinux_2_12_x86_64", "--platform=manylinux2010_x86_64"])
        .args(["--platform=manylinux_2_5_x86_64", "--platform=manylinux1_x86_64", "--platform=any"])
        .arg("--dest")
        .arg(folder.path())
        .args(WHEELS)
        .status()
        .unwrap();
    assert!(status.success(), "pip download ended with {status}");

    let mut read = 0;
    let mut problems = Vec::new();
    for entry in fs_err::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut pack = match Pack::read(fs_err::File::open(&path).unwrap(), &name, &Limits::NONE) {
            Ok(pack) => pack,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        let expected = independent(&fs_err::read(&path).unwrap()).unwrap();
        let paths: Vec<_> = pack.directory().files.keys().cloned().collect();
        assert_eq!(paths.len(), expected.len(), "{name}");
        for file in paths {
            let mut bytes = Vec::new();
            pack.extract(&file, &mut bytes).unwrap_or_else(|error| panic!("{error}"));
            assert!(bytes == expected[file.as_str()], "{name}: {file}");
        }
        read += 1;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    println!("{read} of {} wheels read alike", WHEELS.len());
    assert_eq!(read, WHEELS.len());
}
