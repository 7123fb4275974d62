#include "client/cli/terminal_text.h"

#include <locale.h>
#include <wchar.h>

#include <fmt/format.h>

namespace loyal::cli {

namespace {

// More than any language puts on one letter.
constexpr std::size_t marks_max = 8;

struct Character {
    char32_t point = 0;
    std::size_t length = 0;  // 0: no valid UTF-8
};

// The Unicode Standard, table 3-7: no overlong forms, no surrogates, nothing beyond U+10FFFF.
Character character_at(std::string_view text) {
    if (text.empty()) {
        return {};
    }
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) {
        return {first, 1};
    }
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < length) {
        return {};
    }
    char32_t point = first & (0x7FU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80U) {
            return {};
        }
        point = (point << 6U) | (byte(i) & 0x3FU);
    }
    const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    return overlong || surrogate || point > 0x10FFFF ? Character{} : Character{point, length};
}

bool turns_the_reading_order(char32_t point) {
    return point == 0x061C || point == 0x200E || point == 0x200F || (point >= 0x2028 && point <= 0x202E) ||
           (point >= 0x2066 && point <= 0x2069);
}

// -1: no terminal has a column for it. The C library's tables, whatever the locale of the process is.
int width_of(char32_t point) {
    if (point < 0x20 || (point >= 0x7F && point < 0xA0) || turns_the_reading_order(point)) {
        return -1;
    }
    if (point < 0x7F) {
        return 1;
    }
    static const locale_t unicode = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (unicode == nullptr) {
        return 1;
    }
    const locale_t before = ::uselocale(unicode);
    const int width = ::wcwidth(static_cast<wchar_t>(point));
    ::uselocale(before);
    return width;
}

}  // namespace

std::size_t utf8_length(std::string_view text) {
    return character_at(text).length;
}

std::string terminal_safe(std::string_view text, Lines lines) {
    std::string safe;
    safe.reserve(text.size());
    std::size_t marks = 0;
    while (!text.empty()) {
        const Character character = character_at(text);
        const std::string_view bytes = text.substr(0, character.length == 0 ? 1 : character.length);
        text.remove_prefix(bytes.size());
        const bool passes = lines == Lines::kept && (character.point == '\n' || character.point == '\t');
        const int width = character.length == 0 ? -1 : width_of(character.point);
        marks = width == 0 ? marks + 1 : 0;
        if (character.length > 0 && (passes || (width >= 0 && marks <= marks_max))) {
            safe += bytes;
            continue;
        }
        for (const char byte : bytes) {
            safe += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
        }
    }
    return safe;
}

std::size_t columns_of(std::string_view text) {
    std::size_t columns = 0;
    while (!text.empty()) {
        const Character character = character_at(text);
        const int width = character.length == 0 ? 1 : width_of(character.point);
        columns += width > 0 ? static_cast<std::size_t>(width) : 0;
        text.remove_prefix(character.length == 0 ? 1 : character.length);
    }
    return columns;
}

std::string shortened_to_columns(std::string_view text, std::size_t columns_max) {
    if (columns_max == 0) {
        return "";
    }
    std::size_t columns = 0;
    std::size_t kept = 0;  // bytes that leave a column for the sign that something is missing
    for (std::size_t at = 0; at < text.size();) {
        const Character character = character_at(text.substr(at));
        const int width = character.length == 0 ? 1 : width_of(character.point);
        columns += width > 0 ? static_cast<std::size_t>(width) : 0;
        if (columns > columns_max) {
            return std::string(text.substr(0, kept)) + "…";
        }
        at += character.length == 0 ? 1 : character.length;
        kept = columns + 1 <= columns_max ? at : kept;
    }
    return std::string(text);
}

}  // namespace loyal::cli
