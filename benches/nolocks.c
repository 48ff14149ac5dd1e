/* A library to preload: no file system has locks, as some network file systems have none. NOLOCKS is the errno.
 *
 *     cc -shared -fPIC -O2 -o nolocks.so benches/nolocks.c
 *     NOLOCKS=37 LD_PRELOAD=./nolocks.so python -c "import magic_module.alpha" */

#include <errno.h>
#include <stdlib.h>

int flock(int file, int act) {
    const char *with = getenv("NOLOCKS");
    (void)file, (void)act;
    errno = with ? atoi(with) : ENOSYS;
    return -1;
}
