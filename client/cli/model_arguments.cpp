#include "client/cli/model_arguments.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "config/duration.h"
#include "config/limits.h"

namespace loyal::cli {

namespace {

template <class Number>
std::optional<Number> whole_number(std::string_view text) {
    Number number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

std::optional<consensus::Hlc> hlc_of(std::string_view text) {
    const std::size_t dot = text.find('.');
    if (dot == std::string_view::npos) {
        return std::nullopt;
    }
    const auto wall_ms = whole_number<std::uint64_t>(text.substr(0, dot));
    const auto counter = whole_number<std::uint16_t>(text.substr(dot + 1));
    constexpr std::uint64_t wall_ms_max = (std::uint64_t{1} << 48U) - 1;
    if (!wall_ms || !counter || *wall_ms > wall_ms_max) {
        return std::nullopt;
    }
    return consensus::Hlc(*wall_ms, *counter);
}

// TOML's times are those of RFC 3339.
std::optional<toml::date_time> date_time_of(const std::string& text) {
    const bool harmless = std::all_of(text.begin(), text.end(), [](char c) {
        return std::string_view("0123456789-:.+TtZz ").find(c) != std::string_view::npos;
    });
    if (!harmless || text.empty()) {
        return std::nullopt;
    }
    try {
        return toml::parse("time = " + text + "\n")["time"].value<toml::date_time>();
    } catch (const toml::parse_error&) {
        return std::nullopt;
    }
}

std::int64_t wall_ms_of(const toml::date_time& time) {
    using namespace std::chrono;
    const sys_days day(year(time.date.year) / month(time.date.month) / std::chrono::day(time.date.day));
    const auto within = hours(time.time.hour) + minutes(time.time.minute) + seconds(time.time.second) +
                        nanoseconds(time.time.nanosecond) - minutes(time.offset->minutes);
    return floor<milliseconds>(day.time_since_epoch() + within).count();
}

}  // namespace

Answer<std::uint64_t> ttl_argument(const std::string& text) {
    const bool number_alone =
        !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    const Result<std::uint64_t> ms = parse_duration_ms(number_alone ? text + "s" : text, UINT64_MAX);
    if (!ms) {
        return refuse_input(fmt::format("time to live: {}", ms.error().message));
    }
    if (*ms < limits::lease_ttl_ms_min || *ms > limits::lease_ttl_ms_max) {
        return refuse_input(fmt::format("a time to live of {}; give one from 1s to 366d", text));
    }
    return *ms;
}

Answer<consensus::Hlc> time_argument(const std::string& text) {
    if (const auto hlc = hlc_of(text)) {
        return *hlc;
    }
    const auto time = date_time_of(text);
    if (!time) {
        return refuse_input(
            fmt::format("\"{}\" is no time; write it as RFC 3339 (2026-03-01T12:00:00Z) or as it is "
                        "printed in \"hlc\" (1772366400000.0)",
                        text));
    }
    if (!time->offset) {
        return refuse_input(fmt::format("{}: whose time? Add Z for UTC, or an offset such as +01:00", text));
    }
    const std::int64_t ms = wall_ms_of(*time);
    if (ms < 0) {
        return refuse_input(fmt::format("{} is before 1970", text));
    }
    return consensus::Hlc(static_cast<std::uint64_t>(ms), UINT16_MAX);
}

Answer<std::uint64_t> number_argument(const std::string& text, std::string_view what) {
    const auto number = whole_number<std::uint64_t>(text);
    if (!number || *number == 0) {
        return refuse_input(fmt::format("{} is a number from 1 on, not \"{}\"", what, text));
    }
    return *number;
}

Answer<kvstore::Fence> fence_argument(const std::string& text) {
    const std::size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0) {
        return refuse_input(fmt::format("--fence {}: write NAME=TOKEN, as `loyal lock NAME` printed the token", text));
    }
    if (equals > limits::key_bytes_max) {
        return refuse_input(fmt::format("--fence: a lock's name has at most {} bytes", limits::key_bytes_max));
    }
    const Answer<std::uint64_t> token = number_argument(text.substr(equals + 1), "a fencing token");
    if (!token) {
        return tl::unexpected<Failure>(token.error());
    }
    return kvstore::Fence{bytes_of(text.substr(0, equals)), *token};
}

}  // namespace loyal::cli
