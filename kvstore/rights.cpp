#include "kvstore/rights.h"

#include <algorithm>

#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

namespace {

bool begins_with(ByteView bytes, ByteView prefix) {
    return bytes.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

// Every key from begin to end has the prefix: `begin` has, and `end` is not behind the last key that has.
bool is_below(const KeySpan& keys, ByteView prefix) {
    if (!begins_with(keys.begin, prefix)) {
        return false;
    }
    if (!keys.end || prefix.empty()) {
        return true;
    }
    // The first key behind all that have the prefix, unless it is all ff, where the last one is the end of all.
    Bytes behind(prefix.begin(), prefix.end());
    while (!behind.empty() && behind.back() == 0xFF) {
        behind.pop_back();
    }
    if (behind.empty()) {
        return true;
    }
    ++behind.back();
    return !keys.end->empty() &&
           !std::lexicographical_compare(behind.begin(), behind.end(), keys.end->begin(), keys.end->end());
}

auto place_of(std::vector<Grant>& grants, const Bytes& prefix) {
    return std::lower_bound(grants.begin(), grants.end(), prefix,
                            [](const Grant& grant, const Bytes& at) { return grant.prefix < at; });
}

}  // namespace

ClientRecord client_with(std::string name, const crypto::PublicKey& key, std::uint8_t rights) {
    ClientRecord client{std::move(name), key, {}};
    if (rights != 0) {
        client.grants.push_back({{}, rights});
    }
    return client;
}

bool may(const ClientRecord& client, const KeySpan& keys, std::uint8_t rights) {
    unsigned missing = rights;
    for (const Grant& grant : client.grants) {
        if (is_below(keys, grant.prefix)) {
            missing &= ~static_cast<unsigned>(grant.rights);
        }
    }
    return missing == 0;
}

bool may_anything(const ClientRecord& client, std::uint8_t rights) {
    return std::any_of(client.grants.begin(), client.grants.end(),
                       [&](const Grant& grant) { return (grant.rights & rights) != 0; });
}

bool is_operator(const ClientRecord& client) {
    return may(client, {{}, ByteView{}}, right_admin);
}

void add_rights(ClientRecord& client, const Bytes& prefix, std::uint8_t rights) {
    const auto place = place_of(client.grants, prefix);
    if (place != client.grants.end() && place->prefix == prefix) {
        place->rights = static_cast<std::uint8_t>(place->rights | rights);
    } else {
        client.grants.insert(place, {prefix, rights});
    }
}

bool take_rights(ClientRecord& client, const Bytes& prefix, std::uint8_t rights) {
    const auto place = place_of(client.grants, prefix);
    if (place == client.grants.end() || place->prefix != prefix || (place->rights & rights) == 0) {
        return false;
    }
    place->rights = static_cast<std::uint8_t>(place->rights & ~static_cast<unsigned>(rights));
    if (place->rights == 0) {
        client.grants.erase(place);
    }
    return true;
}

Bytes encode_client(const ClientRecord& client, bool present) {
    crypto::CanonicalWriter out(64 + client.name.size());
    out.number(static_cast<std::uint8_t>(present ? 1 : 0)).number(static_cast<std::uint8_t>(client.name.size()));
    out.raw(view_of(client.name)).raw(client.key.bytes).number(static_cast<std::uint16_t>(client.grants.size()));
    for (const Grant& grant : client.grants) {
        out.number(static_cast<std::uint16_t>(grant.prefix.size())).raw(grant.prefix).number(grant.rights);
    }
    return out.take();
}

Result<StoredClient> decode_client(ByteView content) {
    crypto::CanonicalReader in(content);
    StoredClient stored;
    const auto present = in.number<std::uint8_t>();
    stored.present = present == 1;
    const auto name_size = in.number<std::uint8_t>();
    stored.client.name = string_of(in.raw(name_size));
    const ByteView key = in.raw(stored.client.key.bytes.size());
    std::copy(key.begin(), key.end(), stored.client.key.bytes.begin());
    const auto size = in.number<std::uint16_t>();
    bool sound = in.ok() && present <= 1 && name_size > 0 && name_size <= limits::client_name_bytes_max &&
                 size <= limits::grants_per_client_max;
    for (std::uint16_t i = 0; i < size && sound; ++i) {
        const auto prefix_size = in.number<std::uint16_t>();
        const ByteView prefix = in.raw(std::min<std::size_t>(prefix_size, limits::key_bytes_max + 1));
        Grant grant{Bytes(prefix.begin(), prefix.end()), in.number<std::uint8_t>()};
        const bool ascends = stored.client.grants.empty() || stored.client.grants.back().prefix < grant.prefix;
        sound = in.ok() && prefix_size <= limits::key_bytes_max && ascends && grant.rights != 0 &&
                grant.rights <= rights_all;
        stored.client.grants.push_back(std::move(grant));
    }
    if (!sound || !in.finish()) {
        return fail(Errc::corrupted, "malformed record of a client");
    }
    return stored;
}

ClientDirectory::ClientDirectory(Clients genesis) : clients_(std::move(genesis)) {
    for (const auto& [id, client] : clients_) {
        names_[client.name] = id;
    }
}

const ClientRecord* ClientDirectory::find(const consensus::ClientId& id) const {
    const auto found = clients_.find(id);
    return found == clients_.end() ? nullptr : &found->second;
}

std::optional<consensus::ClientId> ClientDirectory::find_name(const std::string& name) const {
    const auto found = names_.find(name);
    return found == names_.end() ? std::nullopt : std::optional(found->second);
}

void ClientDirectory::put(const consensus::ClientId& id, ClientRecord client) {
    names_[client.name] = id;
    clients_[id] = std::move(client);
}

void ClientDirectory::remove(const consensus::ClientId& id) {
    if (const auto found = clients_.find(id); found != clients_.end()) {
        names_.erase(found->second.name);
        clients_.erase(found);
    }
}

std::size_t ClientDirectory::operators() const {
    return static_cast<std::size_t>(
        std::count_if(clients_.begin(), clients_.end(), [](const auto& each) { return is_operator(each.second); }));
}

}  // namespace loyal::kvstore
