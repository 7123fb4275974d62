// LOYAL_ASSERT: an invariant of our own code, checked in every build. Never for what a peer, a client or a disk says.
#pragma once

namespace loyal {

// Prints the expression, the place and the reason to standard error and aborts.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line, const char* why) noexcept;

}  // namespace loyal

#define LOYAL_ASSERT(expression, why)                                        \
    do {                                                                     \
        if (!(expression)) [[unlikely]] {                                    \
            ::loyal::assertion_failed(#expression, __FILE__, __LINE__, why); \
        }                                                                    \
    } while (false)
