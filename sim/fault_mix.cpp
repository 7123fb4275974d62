#include "sim/fault_mix.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "config/assert.h"

namespace loyal::sim {

using replica::BehaviourInfo;

namespace {

// One to n-1 of the others.
std::string some_others(Random& random, std::size_t n, std::uint16_t self) {
    std::vector<std::uint16_t> ids;
    while (ids.empty()) {
        for (std::uint16_t id = 0; id < n; ++id) {
            if (id != self && random.one_in(2)) {
                ids.push_back(id);
            }
        }
    }
    return fmt::format("{}", fmt::join(ids, ","));
}

std::optional<std::string> fellows(std::uint16_t self, const std::vector<std::uint16_t>& traitors) {
    std::vector<std::uint16_t> ids;
    std::copy_if(traitors.begin(), traitors.end(), std::back_inserter(ids),
                 [self](std::uint16_t id) { return id != self; });
    std::sort(ids.begin(), ids.end());
    return ids.empty() ? std::nullopt : std::optional<std::string>(fmt::format("{}", fmt::join(ids, ",")));
}

std::string signed_duration(Random& random) {
    return fmt::format("{}{}ms", random.one_in(2) ? "-" : "+",
                       random.one_in(2) ? random.between(10, 2'000) : random.between(2'000, 600'000));
}

std::string_view one_alternative(Random& random, std::string_view form) {
    std::uint64_t skip = random.below(1 + static_cast<std::uint64_t>(std::count(form.begin(), form.end(), '|')));
    for (; skip > 0; --skip) {
        form.remove_prefix(form.find('|') + 1);
    }
    return form.substr(0, form.find('|'));
}

// What stands for a word in capitals; any other word stands for itself.
std::string random_word(Random& random, std::string_view word, std::size_t n, std::uint16_t self) {
    if (word == "IDS") {
        return some_others(random, n, self);
    }
    if (word == "OFFSET") {
        return signed_duration(random);
    }
    if (word == "P") {
        return fmt::format("0.{:06}", random.between(1, random.one_in(3) ? 50'000 : 1'000));
    }
    if (word == "CLIENT" || word == "CLIENTS") {
        return "c0";
    }
    if (word == "PREFIX") {
        return fmt::format("k{}", random.below(4));
    }
    const bool is_placeholder = std::any_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    LOYAL_ASSERT(!is_placeholder, "the simulator knows every placeholder of a behaviour's argument");
    return std::string(word);
}

}  // namespace

std::optional<std::string> random_argument(Random& random, const BehaviourInfo& info, std::size_t n, std::uint16_t self,
                                           const std::vector<std::uint16_t>& traitors) {
    std::string_view form = info.argument;
    if (form.empty()) {
        return "";
    }
    if (form.front() == '[') {
        if (random.one_in(2)) {
            return "";
        }
        form = form.substr(1, form.size() - 2);
    }
    if (info.name == "collude") {
        return fellows(self, traitors);
    }
    form = one_alternative(random, form);
    const std::size_t colon = form.find(':');
    const std::size_t begin = colon == std::string_view::npos ? 0 : colon + 1;
    return std::string(form.substr(0, begin)) + random_word(random, form.substr(begin), n, self);
}

std::string random_fault(Random& random, std::size_t n, std::uint16_t self,
                         const std::vector<std::uint16_t>& traitors) {
    static constexpr std::array<std::size_t, 6> counts{1, 1, 1, 1, 2, 3};
    const std::vector<BehaviourInfo>& all = replica::behaviours();
    const std::size_t wanted = random.pick(counts);
    std::vector<std::string_view> chosen;
    std::string line;
    // Not for ever: most behaviours may be unfit.
    for (int attempt = 0; attempt < 100 && chosen.size() < wanted; ++attempt) {
        const BehaviourInfo& info = all.at(random.below(all.size()));
        if (std::count(chosen.begin(), chosen.end(), info.name) > 0) {
            continue;
        }
        if (const auto argument = random_argument(random, info, n, self, traitors)) {
            chosen.push_back(info.name);
            line += (line.empty() ? "" : " ") + std::string(info.name) + (argument->empty() ? "" : "=" + *argument);
        }
    }
    return line.empty() ? "none" : line;
}

std::string betrayal(std::uint16_t self, const std::vector<std::uint16_t>& traitors) {
    const auto others = fellows(self, traitors);
    return others ? "collude=" + *others : "equivocate";
}

}  // namespace loyal::sim
