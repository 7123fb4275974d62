#include "crypto/random.h"

#include <sodium.h>

namespace loyal::crypto {

void fill_random(std::span<std::uint8_t> out) noexcept {
    if (!out.empty()) {
        randombytes_buf(out.data(), out.size());
    }
}

std::uint64_t random_u64() noexcept {
    std::uint64_t value = 0;
    randombytes_buf(&value, sizeof value);
    return value;
}

}  // namespace loyal::crypto
