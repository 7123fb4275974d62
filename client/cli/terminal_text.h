// Text as a terminal shows it: what it would act on instead of showing it is escaped, and columns are counted as it
// counts them. Whatever was stored by others, or said by a replica, must not move the cursor, change colours or a
// window's title, or turn the reading order of a line around. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace loyal::cli {

enum class Lines : std::uint8_t {
    kept,     // newline and tab pass: text of several lines
    escaped,  // a cell of a table, a name in a message
};

// Control characters (C0, DEL, C1), invalid UTF-8, characters that turn the reading order or that a terminal has no
// column for, and all but the first few of the marks that pile up on one letter, byte by byte as \xNN.
[[nodiscard]] std::string terminal_safe(std::string_view text, Lines lines);

// Columns of text that terminal_safe let pass: none for a combining mark, two for a wide character.
[[nodiscard]] std::size_t columns_of(std::string_view text);

// At most so many columns, the last of them "…" when something was left out. Never cuts a letter from its marks.
[[nodiscard]] std::string shortened_to_columns(std::string_view text, std::size_t columns_max);

// The length of the valid UTF-8 character at the head of `text`, or 0.
[[nodiscard]] std::size_t utf8_length(std::string_view text);

}  // namespace loyal::cli
