// Numbers in the keys of tables: big-endian, so that they sort as numbers do.
#pragma once

#include <concepts>
#include <cstdint>

#include "config/bytes.h"

namespace loyal::kvstore {

template <std::unsigned_integral T>
void append_big_endian(Bytes& out, T value) {
    for (std::size_t i = sizeof(T); i-- > 0;) {
        out.push_back(static_cast<std::uint8_t>(value >> (8U * i)));
    }
}

// `bytes` has at least as many as T.
template <std::unsigned_integral T>
[[nodiscard]] T read_big_endian(ByteView bytes) {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        value = static_cast<T>(value << 8U | bytes[i]);
    }
    return value;
}

}  // namespace loyal::kvstore
