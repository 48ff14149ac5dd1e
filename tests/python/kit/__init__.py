"""What the tests share. The server that they ask is `origins.Origin`.

| module        | holds                                                                        |
|---------------|------------------------------------------------------------------------------|
| `world`       | `World`: one test's cache, sites and servers; `Acme`: a package in both forms |
| `process`     | `run`, `start`: a process with a clean environment, to its end or step by step |
| `interpreter` | `Interpreter`: one that is told what to do, and lives on after an error; `command_line` |
| `sources`     | `write_tree`: a dict of texts becomes files                                  |
| `site`        | `Site`: a manifest written by hand, to be spoilt                             |
| `sentences`   | `check`: compares a sentence with the one that is kept                       |
| `typed`       | `check`, `answer`: compare JSON with the types of the engine                 |
| `package_index` | `PackageIndex`: an index of such wheels, with upload times and a password if need be |
| `bucket`      | `Bucket`: what speaks as S3 does, and looks at every signature               |
| `wheels`      | `wheel`: a wheel with a right RECORD (or a wrong one), made on the spot      |
| `preload`     | `failing`: a library that lets opening some paths fail                        |
| `compiler`    | `extension`: a C extension                                                   |
| `tls`         | `Authority`: a certificate authority of the test's own                       |
| `proxy`       | `Proxy`: a forward proxy that records what it is asked                       |
| `zstd`        | `framed`, `unframed`: frames of Zstandard by a library that is not ours      |
| `canaries`    | `Canaries`: a world full of secrets, and the search for them                 |
"""
