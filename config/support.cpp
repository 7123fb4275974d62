#include <cstdio>
#include <cstdlib>

#include "config/assert.h"
#include "config/bytes.h"
#include "config/result.h"

namespace loyal {

void assertion_failed(const char* expression, const char* file, int line, const char* why) noexcept {
    std::fprintf(stderr, "assertion failed: %s\n  at %s:%d\n  %s\n", expression, file, line, why);
    std::abort();
}

std::string to_hex(ByteView bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const std::uint8_t byte : bytes) {
        text.push_back(digits[byte >> 4U]);
        text.push_back(digits[byte & 0x0FU]);
    }
    return text;
}

std::string_view to_string(Errc code) noexcept {
    switch (code) {
        case Errc::invalid_argument: return "invalid argument";
        case Errc::not_found: return "not found";
        case Errc::corrupted: return "corrupted";
        case Errc::io: return "input/output";
        case Errc::disk_full: return "disk full";
        case Errc::permission: return "not permitted";
        case Errc::unauthentic: return "not authentic";
        case Errc::unavailable: return "unavailable";
        case Errc::timed_out: return "timed out";
        case Errc::conflict: return "conflict";
        case Errc::internal: return "internal";
    }
    return "unknown";
}

}  // namespace loyal
