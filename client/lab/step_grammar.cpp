#include "client/lab/step_grammar.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "replica/control.h"

namespace loyal::lab {

namespace {

constexpr std::uint64_t pause_ms_max = 600'000;

std::string trimmed(const std::string& text) {
    const auto begin = text.find_first_not_of(" \t\n");
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    for (;;) {
        const std::size_t end = text.find(separator, begin);
        parts.push_back(trimmed(text.substr(begin, end == std::string::npos ? end : end - begin)));
        if (end == std::string::npos) {
            return parts;
        }
        begin = end + 1;
    }
}

// The first word and what follows it.
std::pair<std::string, std::string> first_word(const std::string& text) {
    const std::string all = trimmed(text);
    const std::size_t end = all.find_first_of(" \t\n");
    return end == std::string::npos ? std::pair(all, std::string())
                                    : std::pair(all.substr(0, end), trimmed(all.substr(end)));
}

std::vector<std::uint16_t> everybody(std::uint16_t replicas) {
    std::vector<std::uint16_t> all(replicas);
    std::iota(all.begin(), all.end(), std::uint16_t{0});
    return all;
}

Result<std::vector<std::uint16_t>> parse_ids(const std::string& text, std::uint16_t replicas) {
    std::set<std::uint16_t> ids;
    for (const std::string& word : split(text, ',')) {
        std::uint16_t id = 0;
        const auto parsed = std::from_chars(word.data(), word.data() + word.size(), id);
        if (parsed.ec != std::errc() || parsed.ptr != word.data() + word.size()) {
            return fail(Errc::invalid_argument,
                        fmt::format("\"{}\" is no replica; give numbers such as 0 or 0,2, or all", word));
        }
        if (id >= replicas) {
            return fail(Errc::invalid_argument,
                        fmt::format("there is no replica {}: this cluster has {} replicas, 0 to {}", id, replicas,
                                    replicas - 1));
        }
        if (!ids.insert(id).second) {
            return fail(Errc::invalid_argument, fmt::format("replica {} is named twice", id));
        }
    }
    return std::vector<std::uint16_t>(ids.begin(), ids.end());
}

Target target_of(std::vector<std::uint16_t> ids) {
    Target target;
    target.ids = std::move(ids);
    return target;
}

// What a replica will be told is understood by the same reader that the replica uses.
Result<void> check_line(const std::string& line, std::uint16_t replicas) {
    const auto understood = replica::parse_control(line, replicas);
    if (!understood) {
        return tl::unexpected(understood.error());
    }
    return {};
}

Result<Step> parse_fault_step(const std::string& value, std::uint16_t replicas) {
    const auto [who, line] = first_word(value);
    Step step;
    auto target = parse_target(who, replicas);
    if (!target) {
        return tl::unexpected(target.error());
    }
    if (line.empty()) {
        return fail(Errc::invalid_argument, "expected who and what, such as \"0 byzantine equivocate\"");
    }
    auto fault = replica::parse_fault(line);
    if (!fault) {
        return tl::unexpected(fault.error());
    }
    if (fault->kind == replica::FaultSpec::Kind::byzantine && target->role != Target::Role::ids) {
        return fail(Errc::invalid_argument,
                    fmt::format("\"{}\": who lies must be known beforehand, because the others are judged; give its "
                                "number (the first primary is replica 0)",
                                who));
    }
    step.target = std::move(*target);
    step.fault = std::move(*fault);
    step.text = fmt::format("{}: {}", words_of(step.target), to_string(step.fault));
    return step;
}

// "0 offset=-5s" of clocks, "0 full" of disks.
Result<Step> parse_device_step(const char* device, const std::string& value, std::uint16_t replicas) {
    const auto [who, line] = first_word(value);
    auto target = parse_target(who, replicas);
    if (!target) {
        return tl::unexpected(target.error());
    }
    if (const auto checked = check_line(fmt::format("{} {}", device, line), replicas); !checked) {
        return tl::unexpected(checked.error());
    }
    Step step;
    step.target = std::move(*target);
    step.line = line;
    step.text = fmt::format("{}: {} {}", words_of(step.target), device, line);
    return step;
}

Result<Step> parse_pause_step(const std::string& value, std::uint16_t replicas) {
    const auto [who, line] = first_word(value);
    auto target = parse_target(who, replicas);
    if (!target) {
        return tl::unexpected(target.error());
    }
    const auto duration = replica::parse_duration_ms(line);
    if (!duration || *duration == 0 || *duration > pause_ms_max) {
        return fail(Errc::invalid_argument,
                    fmt::format("\"{}\": expected who and how long, such as \"0 500ms\"; at most 10m", value));
    }
    Step step;
    step.target = std::move(*target);
    step.pause_ms = *duration;
    step.text = fmt::format("{}: stopped for {} ms", words_of(step.target), *duration);
    return step;
}

Result<Step> parse_pause_holder(const std::string& value) {
    const auto duration = replica::parse_duration_ms(value);
    if (!duration || *duration == 0 || *duration > pause_ms_max) {
        return fail(Errc::invalid_argument,
                    fmt::format("\"{}\": expected how long, such as \"3s\"; at most 10m", value));
    }
    Step step;
    step.pause_ms = *duration;
    step.text = fmt::format("the holder of a lock that is about to write: stopped for {} ms", *duration);
    return step;
}

Result<Step> parse_partition(const std::string& groups_text, std::uint16_t replicas) {
    std::vector<std::vector<std::uint16_t>> groups;
    std::set<std::uint16_t> named;
    for (const std::string& text : split(groups_text, '|')) {
        auto group = parse_ids(text, replicas);
        if (!group) {
            return tl::unexpected(group.error());
        }
        for (const std::uint16_t id : *group) {
            if (!named.insert(id).second) {
                return fail(Errc::invalid_argument, fmt::format("replica {} is in two groups", id));
            }
        }
        groups.push_back(std::move(*group));
    }
    if (groups.size() < 2 || named.size() != replicas) {
        return fail(Errc::invalid_argument,
                    fmt::format("\"partition {}\": expected at least two groups with all {} replicas, such as "
                                "\"partition 0 | 1,2,3\"",
                                groups_text, replicas));
    }
    Step step;
    for (const auto& group : groups) {
        std::vector<std::uint16_t> rest;
        std::copy_if(named.begin(), named.end(), std::back_inserter(rest),
                     [&](std::uint16_t id) { return std::find(group.begin(), group.end(), id) == group.end(); });
        step.links.push_back({target_of(group), std::move(rest), false});
    }
    step.line = "cut";
    step.text = "network: partition " + groups_text;
    return step;
}

// "0,1 -> 2,3 drop=0.3", "all -> clients cut"
Result<Step> parse_links(const std::string& value, std::uint16_t replicas) {
    const std::size_t arrow = value.find("->");
    if (arrow == std::string::npos) {
        return fail(Errc::invalid_argument,
                    fmt::format("\"{}\": expected \"heal\", \"partition 0 | 1,2,3\" or links and their fault, such as "
                                "\"0 -> 1,2 drop=0.3 delay=20ms\"",
                                value));
    }
    auto from = parse_target(trimmed(value.substr(0, arrow)), replicas);
    if (!from) {
        return tl::unexpected(from.error());
    }
    const auto [to, line] = first_word(value.substr(arrow + 2));
    Links links{std::move(*from), {}, to == "clients"};
    if (to == "all") {
        links.to = everybody(replicas);
    } else if (!links.to_clients) {
        auto ids = parse_ids(to, replicas);
        if (!ids) {
            return tl::unexpected(ids.error());
        }
        links.to = std::move(*ids);
    }
    if (const auto checked = check_line("net to=all " + line, replicas); !checked) {
        return tl::unexpected(checked.error());
    }
    Step step;
    step.text = fmt::format("network: {} -> {} {}", words_of(links.from), to, line);
    step.links.push_back(std::move(links));
    step.line = line;
    return step;
}

Result<Step> parse_net_step(const std::string& value, std::uint16_t replicas) {
    const auto [word, rest] = first_word(value);
    if (word == "heal" && rest.empty()) {
        Step step;
        step.kind = Step::Kind::net_heal;
        step.text = "network: healed";
        return step;
    }
    auto step = word == "partition" ? parse_partition(rest, replicas) : parse_links(value, replicas);
    if (step) {
        step->kind = Step::Kind::net;
    }
    return step;
}

Result<Step> parse_process_step(Step::Kind kind, const std::string& value, std::uint16_t replicas) {
    auto target = parse_target(value, replicas);
    if (!target) {
        return tl::unexpected(target.error());
    }
    const bool starts = kind == Step::Kind::restart || kind == Step::Kind::expect_restart_refused;
    if (target->role == Target::Role::dead && !starts) {
        return fail(Errc::invalid_argument, "\"dead\": a dead replica cannot be killed");
    }
    if (starts && (target->role == Target::Role::primary || target->role == Target::Role::backup)) {
        return fail(Errc::invalid_argument,
                    fmt::format("\"{}\": only a dead replica can be started; give its number, or dead", value));
    }
    Step step;
    step.target = std::move(*target);
    const char* what = "";
    switch (kind) {
        case Step::Kind::kill: what = "killed (kill -9)"; break;
        case Step::Kind::power_cut: what = "power cut (kill -9 of all of them at once)"; break;
        case Step::Kind::lose_disk: what = "killed, and its disk is lost"; break;
        case Step::Kind::save_disk: what = "a copy of its disk is taken"; break;
        case Step::Kind::roll_back_disk: what = "killed, and its disk is the copy again that was taken"; break;
        case Step::Kind::restart: what = "started again"; break;
        default: what = "started again, which must be refused"; break;
    }
    step.text = fmt::format("{}: {}", words_of(step.target), what);
    return step;
}

}  // namespace

Result<Target> parse_target(const std::string& text, std::uint16_t replicas) {
    Target target;
    const std::string word = trimmed(text);
    if (word == "all") {
        target.ids = everybody(replicas);
        return target;
    }
    const std::pair<const char*, Target::Role> roles[] = {
        {"primary", Target::Role::primary}, {"backup", Target::Role::backup}, {"dead", Target::Role::dead}};
    for (const auto& [name, role] : roles) {
        if (word == name) {
            target.role = role;
            return target;
        }
    }
    auto ids = parse_ids(word, replicas);
    if (!ids) {
        return tl::unexpected(ids.error());
    }
    target.ids = std::move(*ids);
    return target;
}

std::string words_of(const Target& target) {
    switch (target.role) {
        case Target::Role::primary: return "the primary";
        case Target::Role::backup: return "a backup";
        case Target::Role::dead: return "the dead replicas";
        case Target::Role::ids: break;
    }
    return target.ids.size() == 1 ? fmt::format("replica {}", target.ids.front())
                                  : fmt::format("replicas {}", fmt::join(target.ids, ", "));
}

Result<Step> parse_step(Step::Kind kind, const std::string& value, std::uint16_t replicas) {
    Result<Step> step;
    switch (kind) {
        case Step::Kind::fault: step = parse_fault_step(value, replicas); break;
        case Step::Kind::net: return parse_net_step(value, replicas);  // chooses its kind itself
        case Step::Kind::clock: step = parse_device_step("clock", value, replicas); break;
        case Step::Kind::disk: step = parse_device_step("disk", value, replicas); break;
        case Step::Kind::pause: step = parse_pause_step(value, replicas); break;
        case Step::Kind::pause_holder: step = parse_pause_holder(value); break;
        case Step::Kind::kill:
        case Step::Kind::restart:
        case Step::Kind::lose_disk:
        case Step::Kind::save_disk:
        case Step::Kind::roll_back_disk:
        case Step::Kind::expect_restart_refused: step = parse_process_step(kind, value, replicas); break;
        case Step::Kind::power_cut:
            if (!value.empty()) {
                step = parse_process_step(kind, value, replicas);
                break;
            }
            step->target = target_of(everybody(replicas));
            step->text = "power cut: all replicas killed at once";
            break;
        case Step::Kind::net_heal: step->text = "network: healed"; break;
        case Step::Kind::heal: step->text = "everything healed"; break;
    }
    if (step) {
        step->kind = kind;
    }
    return step;
}

}  // namespace loyal::lab
