/* Calls back from three functions deep; test_native_guesses.py compiles it with and without unwind tables. */
#include <string.h>

typedef int (*callback)(int);

__attribute__((noinline)) static int deepest(callback back, int number) {
    return back(number) + 1;
}

__attribute__((noinline)) static int deeper(callback back, int number) {
    char room[200];
    memset(room, number, sizeof room);
    return deepest(back, number + room[3]) + room[number & 127];
}

int call_back(callback back, int number) {
    int twice = deeper(back, number) + deeper(back, number * 3);
    return twice + number * 5;
}
