#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "config/bytes.h"

namespace loyal::crypto::test {

inline Bytes from_hex(std::string_view text) {
    Bytes bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
    }
    return bytes;
}

template <std::size_t size>
std::array<std::uint8_t, size> array_from_hex(std::string_view text) {
    const Bytes bytes = from_hex(text);
    std::array<std::uint8_t, size> result{};
    std::copy_n(bytes.begin(), std::min(size, bytes.size()), result.begin());
    return result;
}

// A seed that differs from that of every other number.
inline std::array<std::uint8_t, 32> seed_of(std::uint8_t number) {
    std::array<std::uint8_t, 32> seed{};
    seed.fill(number);
    return seed;
}

}  // namespace loyal::crypto::test
