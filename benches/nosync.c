/* Runs a command in which syncing does nothing: what durability costs is the difference to that.
 *
 *     cc -O2 -o nosync benches/nosync.c && ./nosync python -c "import magic_module.alpha"
 *
 * The kernel answers the calls with success before it looks at them, because some of ours do not
 * go through the C library, where LD_PRELOAD would find them. Other calls pay a few nanoseconds.
 * For measurements only, on Linux. The product has no way to leave syncing out, and gets none. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYNC(number, ahead) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, ahead, 0)

int main(int count, char **words) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        SYNC(SYS_fsync, 4),
        SYNC(SYS_fdatasync, 3),
        SYNC(SYS_syncfs, 2),
        SYNC(SYS_sync, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    if (count < 2) {
        fprintf(stderr, "usage: nosync COMMAND [ARGUMENT]...\n");
        return 2;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("cannot switch syncing off");
        return 1;
    }
    execvp(words[1], words + 1);
    perror(words[1]);
    return 1;
}
