#include "client/cli/net_words.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace loyal::cli {

namespace {

constexpr std::uint64_t rate_max = std::uint64_t{100} << 30U;

std::optional<double> number_of(const std::string& text, std::string& rest) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    rest.assign(end, text.data() + text.size());
    return error == std::errc() ? std::optional<double>(number) : std::nullopt;
}

void add_both(std::set<NetLink>& links, std::uint16_t a, std::uint16_t b, bool one_way) {
    if (a == b) {
        return;
    }
    links.insert({a, b});
    if (!one_way) {
        links.insert({b, a});
    }
}

}  // namespace

Answer<std::vector<NetLink>> links_between(const std::string& a, const std::string& b, bool one_way,
                                           std::size_t replicas) {
    const auto from = parse_replicas(a, replicas);
    if (!from) {
        return tl::unexpected<Failure>(from.error());
    }
    std::set<NetLink> links;
    if (b == "clients") {
        for (const std::uint16_t id : *from) {
            links.insert({id, std::nullopt});
        }
        return std::vector<NetLink>(links.begin(), links.end());
    }
    const auto to = parse_replicas(b, replicas);
    if (!to) {
        return tl::unexpected<Failure>(to.error());
    }
    for (const std::uint16_t sender : *from) {
        for (const std::uint16_t receiver : *to) {
            add_both(links, sender, receiver, one_way);
        }
    }
    if (links.empty()) {
        return refuse_input(fmt::format("there is no link between {} and {}", a, b));
    }
    return std::vector<NetLink>(links.begin(), links.end());
}

Answer<std::vector<NetLink>> links_of_partition(const std::vector<std::string>& words, bool one_way,
                                                std::size_t replicas) {
    const std::string text = fmt::format("{}", fmt::join(words, ""));
    std::vector<std::vector<std::uint16_t>> groups;
    std::set<std::uint16_t> named;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find_first_of("/|", begin), text.size());
        auto group = parse_replicas(text.substr(begin, end - begin), replicas);
        if (!group) {
            return tl::unexpected<Failure>(group.error());
        }
        for (const std::uint16_t id : *group) {
            if (!named.insert(id).second) {
                return refuse_input(fmt::format("replica {} is in two groups", id));
            }
        }
        groups.push_back(std::move(*group));
        begin = end + 1;
    }
    if (groups.size() < 2) {
        return refuse_input("a partition has two groups or more, as in: loyal net partition 0,1 / 2,3");
    }
    std::set<NetLink> links;
    for (std::size_t i = 0; i < groups.size(); ++i) {
        for (std::size_t j = i + 1; j < groups.size(); ++j) {
            for (const std::uint16_t a : groups[i]) {
                for (const std::uint16_t b : groups[j]) {
                    add_both(links, a, b, one_way);
                }
            }
        }
    }
    return std::vector<NetLink>(links.begin(), links.end());
}

Answer<double> parse_share(const std::string& text) {
    std::string rest;
    const auto number = number_of(text, rest);
    const double share = number.value_or(-1) / (rest == "%" ? 100.0 : 1.0);
    if (!number || !(rest.empty() || rest == "%") || !(share >= 0.0 && share <= 1.0)) {
        return refuse_input(fmt::format("\"{}\" is no share of the messages; write 30% or 0.3", text));
    }
    return share;
}

Answer<std::uint64_t> parse_rate(const std::string& text) {
    if (text == "unlimited") {
        return std::uint64_t{0};
    }
    static constexpr std::array<std::pair<const char*, double>, 6> units{
        {{"", 1.0}, {"B", 1.0}, {"kB", 1e3}, {"KiB", 1024.0}, {"MB", 1e6}, {"MiB", 1048576.0}}};
    std::string unit;
    const auto number = number_of(text, unit);
    if (unit.ends_with("/s")) {
        unit.resize(unit.size() - 2);
    }
    const auto* found = std::find_if(units.begin(), units.end(), [&](const auto& each) { return unit == each.first; });
    const double rate = number && found != units.end() ? *number * found->second : -1;
    if (!(rate >= 0.0 && rate <= static_cast<double>(rate_max)) || (rate > 0.0 && rate < 100.0)) {
        return refuse_input(
            fmt::format("\"{}\" is no rate; write 64kB/s, 1MB/s or bytes a second, 100 or more, or unlimited", text));
    }
    return static_cast<std::uint64_t>(rate);
}

std::vector<Order> orders_for(const NetFaults& faults) {
    std::vector<Order> orders;
    std::set<NetLink> done;
    for (const auto& [link, fault] : faults) {
        if (done.contains(link)) {
            continue;
        }
        std::vector<std::string> to;
        for (const auto& [other, its_fault] : faults) {
            // Links to clients are told apart from those to peers.
            if (other.from == link.from && its_fault == fault && other.to.has_value() == link.to.has_value()) {
                done.insert(other);
                to.push_back(other.to ? std::to_string(*other.to) : "clients");
            }
        }
        const std::string words = to_string(fault);
        orders.push_back(
            {link.from, fmt::format("net to={}{}{}", fmt::join(to, ","), words.empty() ? "" : " ", words)});
    }
    return orders;
}

std::optional<NetFaults> faults_of_answer(std::uint16_t from, const std::string& json) {
    const nlohmann::json said = nlohmann::json::parse(json, nullptr, false);
    if (!said.is_object() || !said.contains("links") || !said["links"].is_array()) {
        return std::nullopt;
    }
    NetFaults faults;
    for (const nlohmann::json& each : said["links"]) {
        const bool sound = each.is_object() && each.contains("to") && each.contains("fault") &&
                           (each["to"].is_number_unsigned() || each["to"] == "clients") && each["fault"].is_string();
        const auto fault =
            sound ? replica::parse_link_fault(each["fault"].get<std::string>()) : fail(Errc::invalid_argument, "");
        if (!fault) {
            return std::nullopt;
        }
        const auto to = each["to"].is_string() ? std::nullopt : std::optional(each["to"].get<std::uint16_t>());
        faults[{from, to}] = *fault;
    }
    return faults;
}

std::string link_text(const NetLink& link) {
    return fmt::format("{} -> {}", link.from, link.to ? std::to_string(*link.to) : "clients");
}

}  // namespace loyal::cli
