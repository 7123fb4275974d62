// ReturnRoutes: over which links the replies of an executed block go back to their client (PROTOCOL.md C1, P1). A
// client identity may have several links (processes that share a key) and a session sends most envelopes to the primary
// only, so a backup may never have seen it: then the replies go to all links of that client. Once a session was seen on
// a link, they go there and to links of the client that were opened later (a reconnect that has not sent anything yet).
// Bounded; single-threaded.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "consensus/types.h"

namespace loyal::replica {

class ReturnRoutes {
 public:
    explicit ReturnRoutes(std::size_t sessions_max) : sessions_max_(sessions_max) {}

    void connected(std::uint64_t link, const consensus::ClientId& client);
    void disconnected(std::uint64_t link);
    // An envelope of this session came over `link`.
    void used(std::uint64_t link, const consensus::ClientId& client, consensus::SessionId session);

    [[nodiscard]] std::vector<std::uint64_t> links(const consensus::ClientId& client,
                                                   consensus::SessionId session) const;
    [[nodiscard]] std::optional<consensus::ClientId> client_of(std::uint64_t link) const;
    [[nodiscard]] std::vector<std::uint64_t> all_links() const;
    [[nodiscard]] std::size_t sessions() const { return routes_.size(); }

 private:
    using Key = std::pair<consensus::ClientId, consensus::SessionId>;
    struct Route {
        std::uint64_t link = 0;
        std::list<Key>::iterator place;
    };
    struct Client {
        std::vector<std::uint64_t> links;
    };
    struct Link {
        consensus::ClientId client;
        bool used = false;  // some session was seen on it
        std::vector<Key> sessions;
    };
    void forget(const Key& key);

    std::size_t sessions_max_;
    std::map<std::uint64_t, Link> links_;
    std::map<consensus::ClientId, Client> clients_;
    std::map<Key, Route> routes_;
    std::list<Key> least_recent_;  // front: used longest ago
};

}  // namespace loyal::replica
