// A serial line, whichever the board has.
#pragma once

void uart_start(void);
void uart_put(char c);
