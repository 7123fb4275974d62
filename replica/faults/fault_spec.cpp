#include "replica/faults/fault_spec.h"

#include <algorithm>
#include <array>
#include <optional>

#include "config/duration.h"
#include "replica/faults/behaviours.h"

namespace loyal::replica {
namespace {

const BehaviourInfo* find_behaviour(std::string_view name) {
    const auto& all = behaviours();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const BehaviourInfo& each) { return each.name == name; });
    return found == all.end() ? nullptr : &*found;
}

std::string known_words() {
    std::string known = "none, crash-stop, crash-recovery, byzantine";
    for (const BehaviourInfo& each : behaviours()) {
        known += ", " + std::string(each.name);
    }
    return known;
}

Result<BehaviourSpec> parse_behaviour(std::string_view word) {
    const std::size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const BehaviourInfo* info = find_behaviour(name);
    if (info == nullptr) {
        return fail(Errc::invalid_argument, "unknown fault " + quoted(name) + "; known are: " + known_words());
    }
    BehaviourSpec spec{std::string(name), {}};
    const bool given = equals != std::string_view::npos && equals + 1 < word.size();
    const bool optional = !info->argument.empty() && info->argument.front() == '[';
    if (equals != std::string_view::npos && info->argument.empty()) {
        return fail(Errc::invalid_argument, quoted(name) + " takes no argument, but got " + quoted(word));
    }
    if (!given && !info->argument.empty() && (!optional || equals != std::string_view::npos)) {
        return fail(Errc::invalid_argument,
                    quoted(name) + " needs an argument: " + std::string(name) + "=" + std::string(info->argument));
    }
    if (given) {
        spec.argument = word.substr(equals + 1);
        if (const auto form = faults::check_argument(spec.name, spec.argument); !form) {
            return fail(form.error().code, spec.name + ": " + form.error().message);
        }
    }
    return spec;
}

// "--after 5s" and the like; `words` are those after the kind.
Result<void> parse_options(const std::vector<std::string_view>& words,
                           const std::vector<std::pair<std::string_view, std::uint64_t*>>& options,
                           std::string_view kind) {
    for (std::size_t i = 0; i < words.size(); i += 2) {
        const auto found =
            std::find_if(options.begin(), options.end(), [&](const auto& option) { return option.first == words[i]; });
        if (found == options.end()) {
            return fail(Errc::invalid_argument, quoted(kind) + " does not take " + quoted(words[i]));
        }
        if (i + 1 == words.size()) {
            return fail(Errc::invalid_argument, quoted(words[i]) + " needs a duration, as in 5s");
        }
        const auto value = parse_duration_ms(words[i + 1]);
        if (!value) {
            return tl::unexpected(value.error());
        }
        *found->second = *value;
    }
    return {};
}

Result<FaultSpec> parse_byzantine(FaultSpec spec, const std::vector<std::string_view>& words) {
    spec.kind = FaultSpec::Kind::byzantine;
    for (const std::string_view word : words) {
        auto behaviour = parse_behaviour(word);
        if (!behaviour) {
            return tl::unexpected(behaviour.error());
        }
        if (std::any_of(spec.behaviours.begin(), spec.behaviours.end(),
                        [&](const BehaviourSpec& each) { return each.name == behaviour->name; })) {
            return fail(Errc::invalid_argument, quoted(behaviour->name) + " is given twice");
        }
        spec.behaviours.push_back(std::move(*behaviour));
    }
    if (spec.behaviours.empty()) {
        return fail(Errc::invalid_argument, "\"byzantine\" needs a behaviour; known are: " + known_words());
    }
    return spec;
}

}  // namespace

std::vector<std::string_view> words_of_line(std::string_view line) {
    std::vector<std::string_view> words;
    while (true) {
        const std::size_t begin = line.find_first_not_of(" \t");
        if (begin == std::string_view::npos) {
            return words;
        }
        const std::size_t end = std::min(line.find_first_of(" \t", begin), line.size());
        words.push_back(line.substr(begin, end - begin));
        line.remove_prefix(end);
    }
}

std::string quoted(std::string_view word) {
    return "\"" + std::string(word) + "\"";
}

Result<std::uint64_t> parse_duration_ms(std::string_view text) {
    constexpr std::uint64_t week_ms = 7ULL * 24 * 3'600'000;
    return loyal::parse_duration_ms(text, week_ms);
}

Result<FaultSpec> parse_fault(std::string_view line) {
    std::vector<std::string_view> words = words_of_line(line);
    if (words.empty()) {
        return fail(Errc::invalid_argument, "an empty fault; known are: " + known_words());
    }
    FaultSpec spec;
    const std::string_view kind = words.front();
    const std::vector<std::string_view> rest(words.begin() + 1, words.end());
    if (kind == "none") {
        return rest.empty()
                   ? Result<FaultSpec>(spec)
                   : fail(Errc::invalid_argument, "\"none\" stands alone, but " + quoted(rest[0]) + " follows");
    }
    if (kind == "byzantine") {
        return parse_byzantine(std::move(spec), rest);
    }
    Result<void> options;
    if (kind == "crash-stop") {
        spec.kind = FaultSpec::Kind::crash_stop;
        options = parse_options(rest, {{"--after", &spec.after_ms}}, kind);
    } else if (kind == "crash-recovery") {
        spec.kind = FaultSpec::Kind::crash_recovery;
        options = parse_options(rest, {{"--every", &spec.every_ms}, {"--down", &spec.down_ms}}, kind);
    } else {
        return parse_byzantine(std::move(spec), words);
    }
    if (!options) {
        return tl::unexpected(options.error());
    }
    return spec;
}

std::string to_string(const FaultSpec& spec) {
    switch (spec.kind) {
        case FaultSpec::Kind::none: return "none";
        case FaultSpec::Kind::crash_stop: return "crash-stop --after " + std::to_string(spec.after_ms) + "ms";
        case FaultSpec::Kind::crash_recovery:
            return "crash-recovery --every " + std::to_string(spec.every_ms) + "ms --down " +
                   std::to_string(spec.down_ms) + "ms";
        case FaultSpec::Kind::byzantine: break;
    }
    std::string text = "byzantine";
    for (const BehaviourSpec& each : spec.behaviours) {
        text += " " + each.name + (each.argument.empty() ? "" : "=" + each.argument);
    }
    return text;
}

}  // namespace loyal::replica
