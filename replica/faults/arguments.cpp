#include "replica/faults/arguments.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "replica/faults/fault_spec.h"

namespace loyal::replica::faults {
namespace {

using consensus::ClientId;
using consensus::ReplicaId;

std::vector<std::string_view> between_commas(std::string_view text) {
    std::vector<std::string_view> words;
    while (true) {
        const std::size_t comma = text.find(',');
        words.push_back(text.substr(0, comma));
        if (comma == std::string_view::npos) {
            return words;
        }
        text.remove_prefix(comma + 1);
    }
}

Result<std::set<ReplicaId>> parse_ids(std::string_view text) {
    std::set<ReplicaId> ids;
    for (const std::string_view word : between_commas(text)) {
        std::uint16_t number = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
        const bool canonical = !word.empty() && (word.size() == 1 || word.front() != '0');
        if (error != std::errc() || end != word.data() + word.size() || !canonical) {
            return fail(Errc::invalid_argument, quoted(word) + " is no replica id; write ids as in 1,2");
        }
        if (!ids.insert(ReplicaId(number)).second) {
            return fail(Errc::invalid_argument, "replica " + std::string(word) + " is named twice");
        }
    }
    return ids;
}

template <class T>
Result<void> form_of(const Result<T>& parsed) {
    return parsed ? Result<void>() : Result<void>(tl::unexpected(parsed.error()));
}

bool is_hex(std::string_view word) {
    return !word.empty() && word.size() <= 32 && word.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

Result<void> check_ids(const std::string& argument) {
    return form_of(parse_ids(argument));
}

Result<void> check_clients(const std::string& argument) {
    const auto words = between_commas(argument);
    if (std::any_of(words.begin(), words.end(), [](std::string_view word) { return word.empty(); })) {
        return fail(Errc::invalid_argument, quoted(argument) +
                                                " has an empty client; write all, or names or ids as in "
                                                "alice,bob");
    }
    return {};
}

Result<void> check_offset(const std::string& argument) {
    return form_of(parse_offset_ms(argument));
}

Result<void> check_probability(const std::string& argument) {
    return form_of(parse_probability(argument));
}

Result<void> check_victim(const std::string& argument) {
    if (argument == "client:" || argument == "key:") {
        return fail(Errc::invalid_argument, quoted(argument) +
                                                " names nobody; write client:NAME, client:HEX, "
                                                "key:PREFIX or just PREFIX");
    }
    return {};
}

Result<void> check_transfer(const std::string& argument) {
    if (argument == "corrupt" || argument == "withhold" || argument == "endless") {
        return {};
    }
    return fail(Errc::invalid_argument, quoted(argument) + " is not corrupt, withhold or endless");
}

Result<std::set<ReplicaId>> ids_of(const FaultContext& context, const std::string& argument) {
    auto ids = parse_ids(argument);
    if (!ids) {
        return ids;
    }
    const std::size_t n = context.membership.replicas.size();
    for (const ReplicaId id : *ids) {
        if (id.value >= n) {
            return fail(Errc::invalid_argument, "there is no replica " + std::to_string(id.value) + " among " +
                                                    std::to_string(n) + ", the last is " + std::to_string(n - 1));
        }
        if (id == context.self) {
            return fail(Errc::invalid_argument,
                        "replica " + std::to_string(id.value) + " is the traitor itself; name others");
        }
    }
    return ids;
}

Result<std::int64_t> parse_offset_ms(std::string_view text) {
    const bool is_signed = !text.empty() && (text.front() == '+' || text.front() == '-');
    const auto size = is_signed ? parse_duration_ms(text.substr(1)) : fail(Errc::invalid_argument, "");
    if (!size || *size == 0) {
        return fail(Errc::invalid_argument, quoted(text) +
                                                " is no clock offset; write it with its sign, as in +10s or "
                                                "-1h");
    }
    const auto offset_ms = static_cast<std::int64_t>(*size);
    return text.front() == '-' ? -offset_ms : offset_ms;
}

Result<double> parse_probability(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value > 0.0 && value <= 1.0)) {
        return fail(Errc::invalid_argument, quoted(text) +
                                                " is no probability; write one above 0 and up to 1, as in "
                                                "0.001");
    }
    return value;
}

Result<std::set<ClientId>> clients_named(const FaultContext& context, std::string_view word) {
    if (const auto named = context.client_names.find(std::string(word)); named != context.client_names.end()) {
        return std::set<ClientId>{named->second};
    }
    std::set<ClientId> found;
    if (is_hex(word)) {
        for (const auto& [client, key] : context.membership.clients) {
            if (to_hex(client.bytes).starts_with(word)) {
                found.insert(client);
            }
        }
    }
    if (found.empty()) {
        return fail(Errc::invalid_argument, "no client has the name, or an id that begins with, " + quoted(word));
    }
    return found;
}

Result<ClientSet> ClientSet::parse(const FaultContext& context, const std::string& argument) {
    ClientSet clients;
    if (argument.empty() || argument == "all") {
        return clients;
    }
    clients.all_ = false;
    for (const std::string_view word : between_commas(argument)) {
        auto named = clients_named(context, word);
        if (!named) {
            return tl::unexpected(named.error());
        }
        clients.some_.merge(*named);
    }
    return clients;
}

}  // namespace loyal::replica::faults
