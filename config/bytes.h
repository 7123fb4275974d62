// Byte strings. `Bytes` owns, `ByteView` looks, `SharedBytes` is shared and immutable (block bodies, envelopes).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace loyal {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using SharedBytes = std::shared_ptr<const Bytes>;

[[nodiscard]] inline ByteView view_of(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
[[nodiscard]] inline std::string_view text_of(ByteView bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
[[nodiscard]] inline Bytes bytes_of(std::string_view text) {
    return {text.begin(), text.end()};
}
[[nodiscard]] inline std::string string_of(ByteView bytes) {
    return std::string(text_of(bytes));
}

// Lower-case hexadecimal.
[[nodiscard]] std::string to_hex(ByteView bytes);

}  // namespace loyal
