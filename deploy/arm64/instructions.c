/*
 * A QEMU plugin that lets an emulated program read how many Arm instructions each of its threads has executed.
 *
 * The counts live in a file that both sides map: word i is thread i's count (thread 0 is the one the process began
 * with), and reading one costs the program a memory access. So a program that takes its clock from outside can be
 * given one that ticks in instructions, and its own stage timings become instruction counts.
 * The word IDENTITY is the number of the thread that last called getppid(), which is how a thread learns its own.
 *
 *   qemu-aarch64 -plugin libinstructions.so,counts=/path/of/the/file ...
 *
 * The prototypes below are QEMU's plugin interface, written out because distributions ship no header for it.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef PLUGIN_VERSION
#define PLUGIN_VERSION 1 /* QEMU refuses versions it does not know: the script that builds this tries them in turn */
#endif
#define PUBLIC __attribute__((visibility("default")))

enum { WORDS = 512, IDENTITY = WORDS - 1, LAST_THREAD = IDENTITY - 1 };
enum { WITHOUT_REGISTERS = 0 };
enum { GETPPID_AARCH64 = 173 };

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
typedef void (*on_translate)(plugin_id, struct qemu_plugin_tb *);
typedef void (*on_execute)(unsigned int thread, void *data);
typedef void (*on_syscall)(plugin_id, unsigned int thread, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t,
                           uint64_t, uint64_t, uint64_t, uint64_t);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_translate);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_execute, int flags, void *data);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, on_syscall);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

PUBLIC int qemu_plugin_version = PLUGIN_VERSION;

static volatile uint64_t *words; /* set once, before the first instruction is translated */

static void executed(unsigned int thread, void *instructions)
{
    /* Only its own thread writes a word, so nothing is lost and no lock is needed. */
    words[thread < LAST_THREAD ? thread : LAST_THREAD] += (uintptr_t)instructions;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, WITHOUT_REGISTERS, (void *)qemu_plugin_tb_n_insns(block));
}

static void called(plugin_id id, unsigned int thread, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                   uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number == GETPPID_AARCH64)
        words[IDENTITY] = thread < LAST_THREAD ? thread : LAST_THREAD;
}

PUBLIC int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    static const char option[] = "counts=";
    const size_t bytes = WORDS * sizeof(uint64_t);
    (void)info;
    if (argc != 1 || strncmp(argv[0], option, sizeof option - 1) != 0) {
        fputs("libinstructions: give the file to count in, as -plugin libinstructions.so,counts=FILE\n", stderr);
        return -1;
    }
    const char *path = argv[0] + sizeof option - 1;
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, (off_t)bytes) != 0) {
        perror(path);
        return -1;
    }
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) {
        perror(path);
        return -1;
    }
    words = mapped;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
