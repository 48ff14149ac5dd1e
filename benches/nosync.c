/* Runs a command in which syncing does nothing: what durability costs is the difference to that.
 *
 *     cc -O2 -o nosync benches/nosync.c && ./nosync python -c "import magic_module.alpha"
 *     ./nosync --synced COMMAND...       looks at each call as well, and lets all of them go on
 *
 * The kernel answers the calls with success before it looks at them, because some of ours do not
 * go through the C library, where LD_PRELOAD would find them. Other calls pay a few nanoseconds.
 * For measurements only, on Linux. The product has no way to leave syncing out, and gets none. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYNC(number, ahead) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, ahead, 0)

int main(int count, char **words) {
    int synced = count > 1 && !strcmp(words[1], "--synced");
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        SYNC(SYS_fsync, 4),
        SYNC(SYS_fdatasync, 3),
        SYNC(SYS_syncfs, 2),
        SYNC(SYS_sync, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, synced ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    words += 1 + synced;
    if (count < 2 + synced) {
        fprintf(stderr, "usage: nosync [--synced] COMMAND [ARGUMENT]...\n");
        return 2;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("cannot switch syncing off");
        return 1;
    }
    execvp(words[0], words);
    perror(words[0]);
    return 1;
}
