/* From the first instruction to main(). QEMU loads .data, and loads it again when the machine is reset. */

    .section .text.start, "ax"
    .globl _start
_start:
    /* Every hart begins here; the first goes on, the others wait for ever (QEMU's `-smp`). */
    csrr t0, mhartid
    bnez t0, park

    /* What goes wrong is said: see trapped() in main.c. */
    la t0, trap
    csrw mtvec, t0

    .option push
    .option norelax             /* gp cannot be reached from gp */
    la gp, __global_pointer$
    .option pop
    la sp, __stack_top

    la t0, __bss_start
    la t1, __bss_end
1:  bgeu t0, t1, 2f
    sw zero, 0(t0)
    addi t0, t0, 4
    j 1b

2:  call main

park:
    wfi
    j park

    /* mtvec takes a multiple of 4 (privileged architecture, "Machine Trap-Vector Base-Address"). */
    .balign 4
trap:
    la sp, __stack_top          /* nothing is gone back to */
    csrr a0, mcause
    csrr a1, mepc
    call trapped
    j park
