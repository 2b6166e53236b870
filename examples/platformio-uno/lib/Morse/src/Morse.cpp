#include "Morse.h"

static const char *const LETTERS[] = {
    ".-", "-...", "-.-.", "-..", ".", "..-.", "--.", "....", "..", ".---", "-.-", ".-..", "--",
    "-.", "---", ".--.", "--.-", ".-.", "...", "-", "..-", "...-", ".--", "-..-", "-.--", "--..",
};

void morse(const char *word, void (*show)(char mark)) {
    for (; *word; word++) {
        if (*word < 'A' || *word > 'Z') continue;
        for (const char *mark = LETTERS[*word - 'A']; *mark; mark++) show(*mark);
        if (word[1]) {
            for (int gap = 0; gap < MORSE_GAP; gap++) show(' ');
        }
    }
}
