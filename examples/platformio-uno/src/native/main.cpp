// The same library on this machine.
#include <Morse.h>

#include <cstdio>

int main() {
    std::printf("%s: ", WORD);
    morse(WORD, [](char mark) { std::putchar(mark); });
    std::putchar('\n');
}
