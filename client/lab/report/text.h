// Text for pages: arbitrary bytes made readable and harmless, numbers as people write them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace loyal::lab {

inline constexpr std::size_t shown_bytes_max = 300;

// Valid UTF-8 without control characters: other bytes as \xNN, longer texts cut at a character with an ellipsis.
[[nodiscard]] std::string readable(std::string_view bytes, std::size_t bytes_max = shown_bytes_max);
// Readable, with the characters of HTML's syntax as entities: for element content and quoted attributes.
[[nodiscard]] std::string html(std::string_view bytes, std::size_t bytes_max = shown_bytes_max);

// Two or three digits that matter: "0.82", "12.3", "1,204".
[[nodiscard]] std::string number_text(double value);
[[nodiscard]] std::string count_text(std::uint64_t value);  // "12,345"
[[nodiscard]] std::string seconds_text(double seconds);     // "1.52 s", "340 ms"
[[nodiscard]] std::string ms_text(double ms);               // "4.1 ms"
// "1 fault", "3 faults"
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view singular, std::string_view plural = {});
// "0", "0 and 2", "0, 1 and 2"
[[nodiscard]] std::string listed(const std::vector<std::string>& words);
[[nodiscard]] std::string replicas_text(const std::vector<std::uint16_t>& ids);  // "replica 0", "replicas 0 and 2"

}  // namespace loyal::lab
