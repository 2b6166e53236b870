#pragma once

/// Tells `show` each dot, dash, and the gap behind each letter (ITU-R M.1677-1), of capital letters.
void morse(const char *word, void (*show)(char mark));
