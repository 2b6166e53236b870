/* From the first instruction to main(); every hart but the first waits for ever. */
    .section .text.start, "ax"
    .globl _start
_start:
    csrr t0, mhartid
    bnez t0, park
    la sp, __stack_top
    call main
park:
    wfi
    j park
