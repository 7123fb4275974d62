#include "config/cluster.h"

#include <algorithm>
#include <array>

namespace loyal::config {
namespace {

struct RightName {
    std::uint8_t bit;
    std::string_view name;
};
constexpr std::array<RightName, 3> right_names = {{
    {right_read, "read"},
    {right_write, "write"},
    {right_admin, "admin"},
}};

// 0 when there is no such right.
std::uint8_t right_of(std::string_view name) noexcept {
    for (const auto& right : right_names) {
        if (right.name == name) {
            return right.bit;
        }
    }
    return 0;
}

// "rw": each letter once.
std::uint8_t rights_of_letters(std::string_view letters) noexcept {
    std::uint8_t rights = 0;
    for (const char letter : letters) {
        std::uint8_t bit = 0;
        for (const auto& right : right_names) {
            bit = right.name.front() == letter ? right.bit : bit;
        }
        if (bit == 0 || (rights & bit) != 0) {
            return 0;
        }
        rights = static_cast<std::uint8_t>(rights | bit);
    }
    return rights;
}

}  // namespace

Result<std::uint8_t> parse_rights(std::string_view text) {
    if (const auto rights = rights_of_letters(text); rights != 0) {
        return rights;
    }
    std::uint8_t rights = 0;
    std::string_view rest = text;
    while (true) {
        const auto comma = rest.find(',');
        const auto bit = right_of(rest.substr(0, comma));
        if (bit == 0) {
            return fail(Errc::invalid_argument,
                        "rights are read, write and admin, separated by commas, not \"" + std::string(text) + "\"");
        }
        rights = static_cast<std::uint8_t>(rights | bit);
        if (comma == std::string_view::npos) {
            return rights;
        }
        rest.remove_prefix(comma + 1);
    }
}

std::vector<std::string> names_of_rights(std::uint8_t rights) {
    std::vector<std::string> names;
    for (const auto& right : right_names) {
        if ((rights & right.bit) != 0) {
            names.emplace_back(right.name);
        }
    }
    return names;
}

consensus::Membership Cluster::membership() const {
    consensus::Membership membership;
    membership.context = {cluster_id, consensus::Epoch(epoch)};
    membership.fault_model = fault_model;
    membership.window = window;
    membership.checkpoint_interval = checkpoint_interval;
    for (const auto& replica : replicas) {
        membership.replicas.push_back(replica.public_key);
    }
    for (const auto& client : clients) {
        membership.clients.emplace(client_id_of(client.public_key), client.public_key);
    }
    return membership;
}

std::filesystem::path Cluster::replica_key_path(std::uint16_t id) const {
    return directory / "keys" / ("replica-" + std::to_string(id) + ".key");
}
std::filesystem::path Cluster::client_key_path(const std::string& name) const {
    return directory / "keys" / ("client-" + name + ".key");
}
std::filesystem::path Cluster::data_path(std::uint16_t id) const {
    return directory / "data" / ("replica-" + std::to_string(id));
}
std::filesystem::path Cluster::pid_path(std::uint16_t id) const {
    return directory / "run" / ("replica-" + std::to_string(id) + ".pid");
}
std::filesystem::path Cluster::log_path(std::uint16_t id) const {
    return directory / "run" / ("replica-" + std::to_string(id) + ".log");
}

}  // namespace loyal::config
