// Who may do what: each client has rights below key prefixes. Genesis rights come from the cluster file; what was
// changed since stands in the replicated state, so that every replica enforces the same ones at the same place in the
// order. Names of locks are keys in this respect, so that a prefix is a namespace for both.
//
// Table `clients`, under the root: client id 16 -> present u8 | name u8+bytes | key 32 | grants u16, each (prefix
// u16+bytes | rights u8), ascending by prefix. Clients of genesis have a record once they were changed; `present` 0:
// removed. ClientDirectory is derived from both when a state is opened. Pure, values of the executor's; no threads.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"
#include "crypto/signature.h"

namespace loyal::kvstore {

inline constexpr std::uint8_t right_read = 1;
inline constexpr std::uint8_t right_write = 2;
inline constexpr std::uint8_t right_admin =
    4;  // to grant and revoke rights below the prefix; with all keys, of operators
inline constexpr std::uint8_t rights_all = right_read | right_write | right_admin;

struct Grant {
    Bytes prefix;  // empty: all keys
    std::uint8_t rights = 0;
    friend bool operator==(const Grant&, const Grant&) = default;
};
struct ClientRecord {
    std::string name;
    crypto::PublicKey key;
    std::vector<Grant> grants;  // ascending by prefix, each with rights
    friend bool operator==(const ClientRecord&, const ClientRecord&) = default;
};
// With the same rights to all keys.
[[nodiscard]] ClientRecord client_with(std::string name, const crypto::PublicKey& key, std::uint8_t rights);
// Keys from `begin` on to `end` (exclusive; empty: to the end); of one key: nothing.
struct KeySpan {
    ByteView begin;
    std::optional<ByteView> end;
};
[[nodiscard]] bool may(const ClientRecord& client, const KeySpan& keys, std::uint8_t rights);
// Any of them, below any prefix.
[[nodiscard]] bool may_anything(const ClientRecord& client, std::uint8_t rights);
[[nodiscard]] bool is_operator(const ClientRecord& client);  // admin of all keys
void add_rights(ClientRecord& client, const Bytes& prefix, std::uint8_t rights);
// False when it had none of them there.
[[nodiscard]] bool take_rights(ClientRecord& client, const Bytes& prefix, std::uint8_t rights);

// Nothing in the optional: removed.
[[nodiscard]] Bytes encode_client(const ClientRecord& client, bool present = true);
struct StoredClient {
    ClientRecord client;
    bool present = true;
};
[[nodiscard]] Result<StoredClient> decode_client(ByteView content);

class ClientDirectory {
 public:
    using Clients = std::map<consensus::ClientId, ClientRecord>;
    ClientDirectory() = default;
    explicit ClientDirectory(Clients genesis);

    // Null: unknown.
    [[nodiscard]] const ClientRecord* find(const consensus::ClientId& id) const;
    [[nodiscard]] std::optional<consensus::ClientId> find_name(const std::string& name) const;
    void put(const consensus::ClientId& id, ClientRecord client);
    void remove(const consensus::ClientId& id);
    [[nodiscard]] std::size_t operators() const;  // how many there are
    [[nodiscard]] const Clients& all() const { return clients_; }
    [[nodiscard]] const std::map<std::string, consensus::ClientId>& names() const { return names_; }

 private:
    Clients clients_;
    std::map<std::string, consensus::ClientId> names_;
};

}  // namespace loyal::kvstore
