#include "replica/control.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "config/limits.h"

namespace loyal::replica {
namespace {

using Words = std::vector<std::string_view>;

constexpr std::uint64_t link_delay_ms_max = 600'000;
constexpr std::uint64_t rate_bytes_s_min = 100, rate_bytes_s_max = std::uint64_t{100} << 30U;
constexpr std::int64_t clock_ms_max = std::int64_t{366} * 24 * 3'600'000;
constexpr std::int64_t drift_ppm_max = 500'000;
constexpr std::uint64_t pause_ms_max = 3'600'000;
constexpr std::uint64_t slow_ms_max = 60'000;
constexpr std::uint64_t rot_bits_max = 100'000;

tl::unexpected<Error> refuse(std::string message) {
    return fail(Errc::invalid_argument, std::move(message));
}

template <class T>
std::optional<T> number_of(std::string_view text) {
    T number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? std::optional<T>(number) : std::nullopt;
}

struct Setting {
    std::string_view name;
    std::optional<std::string_view> value;  // after '='
};
Setting setting_of(std::string_view word) {
    const std::size_t equals = word.find('=');
    return equals == std::string_view::npos ? Setting{word, std::nullopt}
                                            : Setting{word.substr(0, equals), word.substr(equals + 1)};
}

Result<std::uint64_t> duration_up_to(std::string_view text, std::uint64_t ms_max, std::string_view most) {
    auto ms = parse_duration_ms(text);
    if (ms && *ms > ms_max) {
        return refuse(quoted(text) + " is too long; at most " + std::string(most));
    }
    return ms;
}

Result<double> parse_share(std::string_view name, std::string_view text) {
    const auto share = number_of<double>(text);
    if (!share || !(*share >= 0.0 && *share <= 1.0)) {
        return refuse(std::string(name) + "=" + std::string(text) + ": a probability is 0 to 1, as in 0.3");
    }
    return *share;
}

Result<std::uint64_t> parse_rate(std::string_view text) {
    const auto rate = number_of<std::uint64_t>(text);
    if (!rate || *rate < rate_bytes_s_min || *rate > rate_bytes_s_max) {
        return refuse("rate=" + std::string(text) + ": a rate is bytes a second, " + std::to_string(rate_bytes_s_min) +
                      " or more, as in 65536");
    }
    return *rate;
}

// One word of a link's fault.
Result<void> take_link_setting(LinkFault& fault, std::string_view word) {
    const Setting setting = setting_of(word);
    if (setting.name == "cut") {
        if (setting.value) {
            return refuse("\"cut\" takes no value, but got " + quoted(word));
        }
        fault.cut = true;
        return {};
    }
    const std::string_view value = setting.value.value_or("");
    const std::array<std::pair<std::string_view, double*>, 3> shares{
        {{"drop", &fault.drop}, {"duplicate", &fault.duplicate}, {"reorder", &fault.reorder}}};
    for (const auto& [name, share] : shares) {
        if (setting.name == name) {
            return parse_share(name, value).map([target = share](double given) { *target = given; });
        }
    }
    const std::array<std::pair<std::string_view, std::uint64_t*>, 2> delays{
        {{"delay", &fault.delay_ms}, {"jitter", &fault.jitter_ms}}};
    for (const auto& [name, delay] : delays) {
        if (setting.name == name) {
            return duration_up_to(value, link_delay_ms_max, "10m").map([target = delay](std::uint64_t ms) {
                *target = ms;
            });
        }
    }
    if (setting.name == "rate") {
        return parse_rate(value).map([&](std::uint64_t rate) { fault.rate_bytes_s = rate; });
    }
    return refuse("unknown fault of a link " + quoted(word) +
                  "; known are: drop=P, delay=20ms, jitter=5ms, duplicate=P, reorder=P, rate=BYTES, cut");
}

Result<LinkFault> link_fault_of(const Words& words) {
    LinkFault fault;
    Words seen;
    for (const std::string_view word : words) {
        const std::string_view name = setting_of(word).name;
        if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
            return refuse(quoted(name) + " is given twice");
        }
        seen.push_back(name);
        if (const auto taken = take_link_setting(fault, word); !taken) {
            return tl::unexpected(taken.error());
        }
    }
    return fault;
}

Result<std::vector<std::uint16_t>> parse_ids(std::string_view text, std::size_t replicas) {
    std::vector<std::uint16_t> ids;
    while (true) {
        const std::size_t comma = std::min(text.find(','), text.size());
        const std::string_view word = text.substr(0, comma);
        const auto id = number_of<std::uint16_t>(word);
        if (!id) {
            return refuse(quoted(word) + " is no replica; write to=1,2 or to=all or to=clients");
        }
        if (*id >= replicas) {
            return refuse("there is no replica " + std::to_string(*id) + "; this cluster has 0 to " +
                          std::to_string(replicas - 1));
        }
        if (std::find(ids.begin(), ids.end(), *id) != ids.end()) {
            return refuse("replica " + std::to_string(*id) + " is named twice");
        }
        ids.push_back(*id);
        if (comma == text.size()) {
            return ids;
        }
        text.remove_prefix(comma + 1);
    }
}

Result<ControlCommand> parse_net(const Words& words, std::size_t replicas) {
    constexpr std::string_view help = "write net show, net heal, or net to=IDS|all|clients and what to do to the links";
    if (words.empty()) {
        return refuse("\"net\" stands alone; " + std::string(help));
    }
    if (words.front() == "show" || words.front() == "heal") {
        if (words.size() > 1) {
            return refuse(quoted(words.front()) + " stands alone, but " + quoted(words[1]) + " follows");
        }
        return words.front() == "show" ? ControlCommand(NetShow{}) : ControlCommand(NetHeal{});
    }
    const Setting to = setting_of(words.front());
    if (to.name != "to" || !to.value) {
        return refuse("unknown word " + quoted(words.front()) + "; " + std::string(help));
    }
    NetSet set;
    if (*to.value == "clients") {
        set.clients = true;
    } else if (*to.value != "all") {
        auto ids = parse_ids(*to.value, replicas);
        if (!ids) {
            return tl::unexpected(ids.error());
        }
        set.peers = std::move(*ids);
    }
    auto fault = link_fault_of(Words(words.begin() + 1, words.end()));
    if (!fault) {
        return tl::unexpected(fault.error());
    }
    set.fault = *fault;
    return set;
}

Result<std::int64_t> parse_drift(std::string_view text) {
    constexpr std::string_view unit = "ppm";
    std::string_view digits = text;
    if (digits.ends_with(unit)) {
        digits.remove_suffix(unit.size());
    }
    if (digits.starts_with('+')) {
        digits.remove_prefix(1);
    }
    const auto ppm = number_of<std::int64_t>(digits);
    if (!ppm || *ppm < -drift_ppm_max || *ppm > drift_ppm_max) {
        return refuse(quoted(text) + " is no drift; write microseconds a second, as in 200ppm or -200ppm; at most " +
                      std::to_string(drift_ppm_max) + "ppm");
    }
    return *ppm;
}

Result<ControlCommand> parse_clock(const Words& words, std::size_t) {
    constexpr std::string_view help = "write clock offset=-5s, drift=200ppm, jump=10s, freeze or mend";
    if (words.size() != 1) {
        return refuse("\"clock\" takes one word; " + std::string(help));
    }
    const Setting setting = setting_of(words.front());
    using Kind = ClockFault::Kind;
    if (setting.name == "freeze" || setting.name == "mend") {
        if (setting.value) {
            return refuse(quoted(setting.name) + " takes no value");
        }
        return ClockFault{setting.name == "freeze" ? Kind::freeze : Kind::mend, 0};
    }
    const bool offset = setting.name == "offset", jump = setting.name == "jump";
    if (!offset && !jump && setting.name != "drift") {
        return refuse("unknown fault of a clock " + quoted(words.front()) + "; " + std::string(help));
    }
    const std::string_view text = setting.value.value_or("");
    const auto value = offset || jump ? parse_signed_duration_ms(text) : parse_drift(text);
    if (!value) {
        return tl::unexpected(value.error());
    }
    if (*value == 0) {
        return refuse(quoted(words.front()) + " changes nothing; `clock mend` sets the clock right");
    }
    return ClockFault{offset ? Kind::offset : jump ? Kind::jump : Kind::drift, *value};
}

Result<ControlCommand> parse_pause(const Words& words, std::size_t) {
    if (words.size() != 1) {
        return refuse("\"pause\" takes one duration, as in pause 15s");
    }
    const auto ms = duration_up_to(words.front(), pause_ms_max, "1h");
    if (!ms) {
        return tl::unexpected(ms.error());
    }
    if (*ms == 0) {
        return refuse("a pause of no time is none");
    }
    return Pause{*ms};
}

Result<ControlCommand> parse_disk(const Words& words, std::size_t) {
    constexpr std::string_view help = "write disk slow=20ms, full, fail-sync, rot, rot=N or mend";
    if (words.size() != 1) {
        return refuse("\"disk\" takes one word; " + std::string(help));
    }
    const Setting setting = setting_of(words.front());
    using Kind = DiskFault::Kind;
    constexpr std::array<std::pair<std::string_view, Kind>, 3> plain{
        {{"full", Kind::full}, {"fail-sync", Kind::fail_sync}, {"mend", Kind::mend}}};
    for (const auto& [name, kind] : plain) {
        if (setting.name == name) {
            return setting.value ? Result<ControlCommand>(refuse(quoted(name) + " takes no value"))
                                 : Result<ControlCommand>(DiskFault{kind, 0});
        }
    }
    if (setting.name == "slow") {
        const auto ms = duration_up_to(setting.value.value_or(""), slow_ms_max, "1m");
        if (!ms) {
            return tl::unexpected(ms.error());
        }
        return *ms > 0 ? Result<ControlCommand>(DiskFault{Kind::slow, *ms})
                       : Result<ControlCommand>(refuse("slow=" + std::string(*setting.value) + " slows nothing"));
    }
    if (setting.name == "rot") {
        const auto bits = setting.value ? number_of<std::uint64_t>(*setting.value) : std::optional<std::uint64_t>(1);
        if (!bits || *bits == 0 || *bits > rot_bits_max) {
            return refuse(quoted(words.front()) + ": how many bits, 1 to " + std::to_string(rot_bits_max));
        }
        return DiskFault{Kind::rot, *bits};
    }
    return refuse("unknown fault of a disk " + quoted(words.front()) + "; " + std::string(help));
}

Result<ControlCommand> parse_trace(const Words& words, std::size_t) {
    const Setting setting = words.size() == 1 ? setting_of(words.front()) : Setting{};
    const auto us = setting.name == "since" && setting.value ? number_of<std::uint64_t>(*setting.value) : std::nullopt;
    if (!us) {
        return refuse("\"trace\" takes one word, since=US, microseconds of CLOCK_MONOTONIC");
    }
    return TraceSince{*us};
}

Result<ControlCommand> parse_evidence(const Words& words, std::size_t) {
    if (!words.empty()) {
        return refuse("\"evidence\" stands alone, but " + quoted(words.front()) + " follows");
    }
    return EvidenceList{};
}

}  // namespace

Result<std::int64_t> parse_signed_duration_ms(std::string_view text) {
    const bool minus = text.starts_with('-');
    const std::string_view size = minus || text.starts_with('+') ? text.substr(1) : text;
    const auto ms = parse_duration_ms(size);
    if (!ms || *ms > static_cast<std::uint64_t>(clock_ms_max)) {
        return refuse(quoted(text) + " is no clock's error; write it with a unit, as in -5s, 250ms or 1h");
    }
    const auto value = static_cast<std::int64_t>(*ms);
    return minus ? -value : value;
}

Result<LinkFault> parse_link_fault(std::string_view words) {
    return link_fault_of(words_of_line(words));
}

std::string to_string(const LinkFault& fault) {
    std::string text;
    const auto add = [&text](const std::string& word) { text += (text.empty() ? "" : " ") + word; };
    const auto add_share = [&](const char* name, double share) {
        if (share > 0) {
            std::array<char, 32> digits{};
            const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), share).ptr;
            add(name + std::string(digits.data(), end));
        }
    };
    const auto add_number = [&](const char* name, std::uint64_t number, const char* unit) {
        if (number > 0) {
            add(name + std::to_string(number) + unit);
        }
    };
    add_share("drop=", fault.drop);
    add_number("delay=", fault.delay_ms, "ms");
    add_number("jitter=", fault.jitter_ms, "ms");
    add_share("duplicate=", fault.duplicate);
    add_share("reorder=", fault.reorder);
    add_number("rate=", fault.rate_bytes_s, "");
    if (fault.cut) {
        add("cut");
    }
    return text;
}

Result<ControlCommand> parse_control(std::string_view line, std::size_t replicas) {
    if (line.size() > limits::control_command_bytes_max) {
        return refuse("a command has at most " + std::to_string(limits::control_command_bytes_max) + " bytes");
    }
    const Words words = words_of_line(line);
    if (words.empty()) {
        return refuse("an empty command");
    }
    if (words.front() == "fault") {
        const char* rest = words.front().data() + words.front().size();
        return parse_fault(line.substr(static_cast<std::size_t>(rest - line.data())))
            .map([](FaultSpec spec) -> ControlCommand { return spec; });
    }
    using Parse = Result<ControlCommand> (*)(const Words&, std::size_t);
    constexpr std::array<std::pair<std::string_view, Parse>, 6> parsers{{{"net", parse_net},
                                                                         {"clock", parse_clock},
                                                                         {"pause", parse_pause},
                                                                         {"disk", parse_disk},
                                                                         {"trace", parse_trace},
                                                                         {"evidence", parse_evidence}}};
    for (const auto& [name, parse] : parsers) {
        if (words.front() == name) {
            return parse(Words(words.begin() + 1, words.end()), replicas);
        }
    }
    return refuse("unknown command " + quoted(words.front()) +
                  "; known are: fault, net, clock, pause, disk, trace, evidence");
}

bool is_experiment(const ControlCommand& command) {
    return !std::holds_alternative<EvidenceList>(command);
}

}  // namespace loyal::replica
