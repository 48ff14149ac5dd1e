/* A fault layer: preloaded into a process, it counts the file calls that touch one folder, over all threads,
 * and at a chosen one it kills the process or lets the call fail.
 *
 *   TORTURE_ROOT   the folder
 *   TORTURE_AT     the number of the call, from 1; without one nothing is injected
 *   TORTURE_ACT    kill   die before the call
 *                  torn   write half of the bytes, then die; as kill for other calls
 *                  child  kill the processes that this one has started, and go on
 *                  <n>    fail with this errno
 *   TORTURE_ON     1: all later calls of the same name fail too, as on a full disk
 *   TORTURE_LOG    append a line for every counted call here: its name, the thread's name, the thread's number;
 *                  with TORTURE_AT, for those calls alone at which something was injected, before it is
 *
 * What counts is one process, the one that called `torture_begin`: a call of any of its threads is the N-th, and a
 * kill ends all of them where they are. A child that is forked counts nothing and is not killed; a program that is
 * started does not even have the layer. That loses no point: the helper interpreters that the product starts are sent
 * what they need, and touch no file of the cache. They end with the process, or by `child`.
 *
 * Two calls bypass the C library: `syncfs`, and `ioctl` where it shares blocks between files. The kernel is asked to
 * trap those, and hands them to a signal handler here.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

static const char *root;
static size_t root_length;
static int record = -1, at, fails, torn, children, later, process;
static char failing[32];
static atomic_int count;

static void trap_raw_calls(void);

void torture_begin(void) {
    const char *value = getenv("TORTURE_ROOT");
    if (!value) return;
    root_length = strlen(value);
    if ((value = getenv("TORTURE_LOG"))) record = (int)syscall(SYS_openat, AT_FDCWD, value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if ((value = getenv("TORTURE_AT"))) at = atoi(value);
    if ((value = getenv("TORTURE_ON"))) later = atoi(value);
    if ((value = getenv("TORTURE_ACT"))) {
        fails = atoi(value);
        torn = !strcmp(value, "torn");
        children = !strcmp(value, "child");
    }
    process = getpid();
    root = getenv("TORTURE_ROOT");
    trap_raw_calls();
}

static int under(const char *path) {
    return root && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int fd_under(int fd) {
    char link[32], target[4096];
    if (!root || fd < 3) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, target, sizeof target - 1);
    if (length < 0) return 0;
    target[length] = 0;
    return under(target);
}

static int path_under(int folder, const char *path) {
    if (!root) return 0;
    if (path[0] == '/') return under(path);
    return folder != AT_FDCWD && fd_under(folder);
}

/* The standard library of Rust probes statx with a null path, which glibc's header rules out. */
__attribute__((noinline)) static int stat_under(int folder, const char *path) {
    if (!path) return 0;
    return *path ? path_under(folder, path) : fd_under(folder);
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static void note(const char *name) {
    char line[128], thread[16] = "";
    if (record < 0) return;
    prctl(PR_GET_NAME, thread, 0, 0, 0);
    int length = snprintf(line, sizeof line, "%s\t%s\t%ld\n", name, thread, syscall(SYS_gettid));
    syscall(SYS_write, record, line, (size_t)length);
}

/* The kernel lists children by the thread that started them. */
static void kill_children(void) {
    DIR *threads = opendir("/proc/self/task");
    for (struct dirent *thread; threads && (thread = readdir(threads));) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/task/%.20s/children", thread->d_name);
        FILE *list = fopen(path, "r");
        for (int child; list && fscanf(list, "%d", &child) == 1;)
            if (!syscall(SYS_kill, child, SIGKILL)) note("child");
        if (list) fclose(list);
    }
    if (threads) closedir(threads);
}

/* True if the call is to fail; errno is set. Half a write is the caller's to do first. */
static int hit(const char *name, int *half) {
    if (getpid() != process) return 0;
    int number = atomic_fetch_add(&count, 1) + 1;
    if (!at) {
        note(name);
        return 0;
    }
    if (number == at && children) {
        kill_children();
        return 0;
    }
    if (number == at) {
        if (!fails) {
            note(name);
            if (torn && half) {
                *half = 1;
                return 0;
            }
            die();
        }
        snprintf(failing, sizeof failing, "%s", name);
    } else if (!(later && number > at && !strcmp(failing, name))) {
        return 0;
    }
    note(name);
    errno = fails;
    return 1;
}

/* An argument that neither call has: the filter lets what bears it pass. */
#define PASS 0x746f7274

#if defined(__x86_64__)
#define REGISTER(context, at) ((context)->uc_mcontext.gregs[(const int[]){REG_RDI, REG_RSI, REG_RDX}[at]])
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define REGISTER(context, at) ((context)->uc_mcontext.regs[at])
#define RESULT(context) ((context)->uc_mcontext.regs[0])
#endif

#ifdef RESULT
static void raw_call(int signal, siginfo_t *info, void *place) {
    ucontext_t *context = place;
    int saved = errno, fd = (int)REGISTER(context, 0);
    long result;
    (void)signal;
    if (fd_under(fd) && hit(info->si_syscall == SYS_ioctl ? "ficlone" : "syncfs", NULL)) {
        result = -1;
    } else if (info->si_syscall == SYS_ioctl) {
        result = syscall(SYS_ioctl, fd, REGISTER(context, 1), REGISTER(context, 2), PASS);
    } else {
        result = syscall(SYS_syncfs, fd, PASS);
    }
    RESULT(context) = result < 0 ? -errno : result;
    errno = saved;
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SAME(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)

static void trap_raw_calls(void) {
    struct sock_filter rules[] = {
        LOAD(nr),
        SAME(SYS_syncfs, 0, 2),
        LOAD(args[1]),
        SAME(PASS, 5, 6),
        SAME(SYS_ioctl, 0, 4),
        LOAD(args[1]),
        SAME(FICLONE, 0, 2),
        LOAD(args[3]),
        SAME(PASS, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    struct sigaction action = {.sa_sigaction = raw_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSYS, &action, NULL);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) perror("torture: no filter");
}
#else
static void trap_raw_calls(void) {}
#endif

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) *(void **)(&real) = dlsym(RTLD_NEXT, name)

#define WRAP(type, name, parameters, arguments, touches, failure) \
    type name parameters { \
        static type(*real) parameters; \
        if (!real) *(void **)(&real) = dlsym(RTLD_NEXT, #name); \
        if ((touches) && hit(#name, NULL)) return failure; \
        return real arguments; \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        REAL(int, #name, const char *, int, ...); \
        if (path_under(AT_FDCWD, path) && hit(flags & O_CREAT ? "create" : "open", NULL)) return -1; \
        return real(path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        REAL(int, #name, int, const char *, int, ...); \
        if (path_under(folder, path) && hit(flags & O_CREAT ? "create" : "open", NULL)) return -1; \
        return real(folder, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    int half = 0;
    if (fd_under(fd) && hit("write", &half)) return -1;
    if (half) {
        real(fd, bytes, size / 2);
        die();
    }
    return real(fd, bytes, size);
}

WRAP(ssize_t, writev, (int fd, const struct iovec *parts, int number), (fd, parts, number), fd_under(fd), -1)
WRAP(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t from), (fd, bytes, size, from), fd_under(fd), -1)
WRAP(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size), fd_under(fd), -1)
WRAP(ssize_t, pread64, (int fd, void *bytes, size_t size, off64_t from), (fd, bytes, size, from), fd_under(fd), -1)
WRAP(ssize_t, sendfile64, (int out, int in, off64_t *from, size_t size), (out, in, from, size), fd_under(out), -1)
WRAP(ssize_t, copy_file_range, (int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags),
     (in, from, out, to, size, flags), fd_under(out), -1)
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size), fd_under(fd), -1)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), fd_under(fd), -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), path_under(AT_FDCWD, to), -1)
WRAP(int, link, (const char *from, const char *to), (from, to), path_under(AT_FDCWD, to), -1)
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), path_under(b, to), -1)
WRAP(int, unlink, (const char *path), (path), path_under(AT_FDCWD, path), -1)
WRAP(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), path_under(folder, path), -1)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), path_under(AT_FDCWD, path), -1)
WRAP(int, rmdir, (const char *path), (path), path_under(AT_FDCWD, path), -1)
WRAP(int, fsync, (int fd), (fd), fd_under(fd), -1)
WRAP(int, fdatasync, (int fd), (fd), fd_under(fd), -1)
WRAP(int, syncfs, (int fd), (fd), fd_under(fd), -1)
WRAP(int, flock, (int fd, int how), (fd, how), fd_under(fd), -1)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), fd_under(fd), -1)
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode), path_under(AT_FDCWD, path), -1)
WRAP(int, statx, (int folder, const char *path, int flags, unsigned mask, struct statx *into),
     (folder, path, flags, mask, into), stat_under(folder, path), -1)
WRAP(DIR *, opendir, (const char *path), (path), path_under(AT_FDCWD, path), NULL)
WRAP(struct dirent64 *, readdir64, (DIR *folder), (folder), fd_under(dirfd(folder)), NULL)
