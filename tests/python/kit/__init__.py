"""What the tests share: sources given as a dict, a counting server, scripts in fresh interpreters.

| module      | holds                                                                  |
|-------------|------------------------------------------------------------------------|
| `sources`   | `write_tree`: a dict of texts becomes files                            |
| `server`    | `Server`: a static server that counts requests and can stall a body    |
| `process`   | `run`, `start`: a script in a fresh interpreter, with a clean environment |
| `tls`       | `Authority`: a certificate authority of the test's own                   |
| `proxy`     | `Proxy`: a forward proxy that records what it is asked                    |
| `manifests` | `record`, `write_manifest`: manifests written by hand                  |
| `canaries`  | `Canaries`: a world full of secrets, and the search for them           |
| `world`     | `World`: one test's cache, sites and servers; `Acme`: a package in both forms |
"""
