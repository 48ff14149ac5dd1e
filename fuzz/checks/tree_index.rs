//! The index of a tree: no tree, or one whose files name blobs that it lists. The bytes are
//! an index without its two checksums: boot and blobs, a line each, then the
//! listing and, behind an empty line, the stamps.

use magic_module::name::Digest;
use magic_module::store::tree::{Scrutiny, Tree, folder_of, index_of};

pub fn check(data: &[u8]) {
    let store = super::store();
    let head = data.split_inclusive(|byte| *byte == b'\n').take(2).map(<[u8]>::len).sum();
    let (head, rest) = data.split_at(head);
    let gap = rest.windows(2).position(|pair| pair == b"\n\n").map_or(rest.len(), |at| at + 1);
    let (listing, stamps) = rest.split_at(gap);
    let stamps = stamps.strip_prefix(b"\n").unwrap_or(stamps);

    let digest = Digest::of(listing);
    let length = format!("{}\n", listing.len());
    let body = [head, length.as_bytes(), listing, stamps].concat();
    let whole = [b"magic_module tree 1\n", &super::with_checksum(&body)[..]].concat();
    let (folder, index) = (folder_of(&store, &digest), index_of(&store, &digest));
    fs_err::create_dir_all(&folder).unwrap();
    for bytes in [&whole[..], data] {
        fs_err::write(&index, bytes).unwrap();
        let Some(mut tree) = Tree::open(&store, &digest).unwrap() else { continue };
        assert_eq!(tree.digest, digest);
        assert!(
            tree.files
                .iter()
                .filter_map(|file| file.blob())
                .all(|blob| tree.blobs().contains(blob))
        );
        let there = tree.files.iter().filter(|file| !file.lazy).count();
        assert_eq!(
            tree.check(&store, Scrutiny::Bytes).damaged.len(),
            there,
            "nothing of it is on disk"
        );
        assert!(tree.files.iter().all(|file| tree.position(file.path.as_str()).is_some()));
    }
    fs_err::remove_file(&index).unwrap();
    fs_err::remove_dir(&folder).unwrap();
}
