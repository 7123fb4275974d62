#include "client/lab/report/text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace loyal::lab {

namespace {

// The JSON library decides what is valid UTF-8: dumping a string that is not throws type_error 316.
bool is_utf8(const std::string& text) {
    if (std::all_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0x80; })) {
        return true;
    }
    try {
        (void)nlohmann::json(text).dump();
        return true;
    } catch (const nlohmann::json::exception&) {
        return false;
    }
}

bool continues_character(char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

}  // namespace

std::string readable(std::string_view bytes, std::size_t bytes_max) {
    const bool cut = bytes.size() > bytes_max;
    std::string kept(bytes.substr(0, bytes_max));
    const bool text = is_utf8(kept) || [&] {
        // A cut may have split a character of what is UTF-8 otherwise; its at most three bytes are left out.
        for (std::size_t drop = 1; cut && drop <= 3 && drop < kept.size(); ++drop) {
            if (!continues_character(bytes[kept.size() - drop]) && is_utf8(kept.substr(0, kept.size() - drop))) {
                kept.resize(kept.size() - drop);
                return true;
            }
        }
        return false;
    }();
    std::string shown;
    for (const char c : kept) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F || (!text && byte >= 0x80)) {
            shown += fmt::format("\\x{:02x}", byte);
        } else {
            shown.push_back(c);
        }
    }
    return cut ? shown + "…" : shown;
}

std::string html(std::string_view bytes, std::size_t bytes_max) {
    std::string escaped;
    for (const char c : readable(bytes, bytes_max)) {
        switch (c) {
            case '&': escaped += "&amp;"; break;
            case '<': escaped += "&lt;"; break;
            case '>': escaped += "&gt;"; break;
            case '"': escaped += "&quot;"; break;
            case '\'': escaped += "&#39;"; break;
            default: escaped.push_back(c);
        }
    }
    return escaped;
}

std::string count_text(std::uint64_t value) {
    std::string digits = std::to_string(value);
    for (std::size_t place = digits.size(); place > 3; place -= 3) {
        digits.insert(place - 3, ",");
    }
    return digits;
}

std::string number_text(double value) {
    const double size = std::fabs(value);
    if (!std::isfinite(value)) {
        return "?";
    }
    if (size >= 100 || size == std::floor(size)) {
        const std::string whole = count_text(static_cast<std::uint64_t>(std::llround(std::min(size, 1e18))));
        return value < 0 && whole != "0" ? "-" + whole : whole;
    }
    if (size >= 10) {
        return fmt::format("{:.1f}", value);
    }
    return size >= 0.1 ? fmt::format("{:.2f}", value) : fmt::format("{:.2g}", value);
}

std::string ms_text(double ms) {
    return number_text(ms) + " ms";
}

std::string seconds_text(double seconds) {
    return std::fabs(seconds) < 1 && seconds != 0 ? ms_text(seconds * 1e3) : fmt::format("{:.2f} s", seconds);
}

std::string counted(std::uint64_t count, std::string_view singular, std::string_view plural) {
    return fmt::format("{} {}{}", count_text(count), count == 1 || plural.empty() ? singular : plural,
                       count != 1 && plural.empty() ? "s" : "");
}

std::string listed(const std::vector<std::string>& words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        text += (i == 0 ? "" : i + 1 == words.size() ? " and " : ", ") + words[i];
    }
    return text;
}

std::string replicas_text(const std::vector<std::uint16_t>& ids) {
    std::vector<std::string> words;
    for (const std::uint16_t id : ids) {
        words.push_back(std::to_string(id));
    }
    return (ids.size() == 1 ? "replica " : "replicas ") + listed(words);
}

}  // namespace loyal::lab
