"""A module that opens the libraries of other wheels while it runs."""

import mkl

print(mkl.get_max_threads() > 0, mkl.get_version_string().partition("Version")[0])
print(mkl.set_num_threads_local(1), mkl.domain_get_max_threads("blas"))
