// Random bytes of the operating system, for keys, instance and session ids. Not for the protocol core, whose only
// randomness is the seed in its options. Thread-safe; never fails once initialize() of crypto/identity.h has returned.
#pragma once

#include <cstdint>
#include <span>

namespace loyal::crypto {

void fill_random(std::span<std::uint8_t> out) noexcept;
[[nodiscard]] std::uint64_t random_u64() noexcept;

}  // namespace loyal::crypto
