#include "config/duration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

namespace loyal {

namespace {

struct Unit {
    std::string_view name;
    std::uint64_t ms;
};
constexpr std::array<Unit, 5> units{{{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::size_t fraction_digits_max = 9;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

tl::unexpected<Error> no_duration(std::string_view text, const std::string& why) {
    return fail(Errc::invalid_argument, "\"" + std::string(text) + "\" is no duration" + why);
}

}  // namespace

Result<std::uint64_t> parse_duration_ms(std::string_view text, std::uint64_t ms_max) {
    const std::string example = "; write 250ms, 5s or 1m";
    std::uint64_t whole = 0;
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, whole);
    if (error == std::errc::invalid_argument) {
        return no_duration(text, example);
    }
    std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
    std::string_view fraction;
    if (rest.starts_with('.')) {
        const auto behind = std::find_if_not(rest.begin() + 1, rest.end(), is_digit);
        fraction = rest.substr(1, static_cast<std::size_t>(behind - rest.begin()) - 1);
        rest.remove_prefix(fraction.size() + 1);
        if (fraction.empty() || fraction.size() > fraction_digits_max) {
            return no_duration(text, example);
        }
    }
    const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& each) { return each.name == rest; });
    if (unit == units.end()) {
        return no_duration(text, example);
    }
    std::uint64_t numerator = 0;
    std::uint64_t denominator = 1;
    for (const char digit : fraction) {
        numerator = 10 * numerator + static_cast<std::uint64_t>(digit - '0');
        denominator *= 10;
    }
    if (numerator * unit->ms % denominator != 0) {
        return no_duration(text, " of whole milliseconds");
    }
    const std::uint64_t part = numerator * unit->ms / denominator;
    if (error != std::errc() || whole > ms_max / unit->ms || part > ms_max - whole * unit->ms) {
        return no_duration(text, " of at most " + std::to_string(ms_max) + " ms");
    }
    return whole * unit->ms + part;
}

}  // namespace loyal
