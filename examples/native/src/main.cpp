// Says which machine this is.
#include <sys/utsname.h>

#include <iostream>

int main() {
    utsname about;
    if (uname(&about) != 0) return 1;
    std::cout << "hello from " << about.sysname << ' ' << about.release << '\n';
}
