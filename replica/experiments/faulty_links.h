// FaultyLinks: carries out what LinkFaults decide, for all outgoing links of a replica: above the links' cipher, so
// that a lost or late frame leaves the cipher's counters alone. Links to peers have a fault each; all clients share one
// setting, but every connection is a link of its own. Frames that wait for their moment are bounded in bytes; beyond it
// they are lost. A link without a fault costs one look-up. Everything runs on the event loop.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <variant>
#include <vector>

#include "config/bytes.h"
#include "consensus/types.h"
#include "replica/experiments/link_faults.h"

namespace boost::asio {
class io_context;
}

namespace loyal::replica {

using ClientLinkId = std::uint64_t;
using LinkEnd = std::variant<consensus::ReplicaId, ClientLinkId>;

class FaultyLinks {
 public:
    // `leave` hands a frame to its socket; `flush` writes what was handed over; both are called from the loop, `leave`
    // also inside send(). The frames that a timer lets go are flushed here.
    FaultyLinks(boost::asio::io_context& loop, std::size_t replicas, consensus::ReplicaId self, std::uint64_t seed,
                std::function<void(const LinkEnd&, SharedBytes)> leave, std::function<void()> flush);

    void send(consensus::ReplicaId to, SharedBytes frame);
    void send(ClientLinkId to, SharedBytes frame);
    void closed(ClientLinkId link) { clients_.erase(link); }

    // Replaces what was in force for these links. Frames that wait already keep their moment; a cut link loses them.
    void set(const NetSet& order);
    // Nothing is wrong any more; what waits leaves at once.
    void heal();
    // "net to=1 drop=0.3; net to=clients delay=20ms"; empty: nothing is in force.
    [[nodiscard]] std::string in_force() const;
    // {"links": [{"to": 1, "fault": "drop=0.3", "frames": ..., "lost": ..., "duplicated": ..., "delayed": ...}, ...]},
    // every peer and "clients".
    [[nodiscard]] std::string json() const;
    [[nodiscard]] std::size_t held_bytes() const { return held_bytes_; }

    static constexpr std::size_t held_bytes_max = std::size_t{64} << 20U;

 private:
    struct Held {
        std::uint64_t at_us = 0;
        std::uint64_t number = 0;  // equal times leave in order
        LinkEnd to;
        SharedBytes frame;
    };
    struct Later {
        bool operator()(const Held& a, const Held& b) const {
            return std::pair(a.at_us, a.number) > std::pair(b.at_us, b.number);
        }
    };
    void pass(LinkFaults& link, const LinkEnd& to, SharedBytes frame);
    void let_go(bool all);
    void arm();
    [[nodiscard]] bool is_cut(const LinkEnd& to) const;

    consensus::ReplicaId self_;
    std::uint64_t seed_;
    std::function<void(const LinkEnd&, SharedBytes)> leave_;
    std::function<void()> flush_;
    boost::asio::steady_timer timer_;
    std::vector<LinkFaults> peers_;
    std::map<ClientLinkId, LinkFaults> clients_;  // with a fault only
    LinkFault client_fault_;
    LinkFaultCounters client_counters_;
    std::priority_queue<Held, std::vector<Held>, Later> held_;
    std::size_t held_bytes_ = 0;
    std::uint64_t next_number_ = 0;
    std::uint64_t armed_us_ = 0;  // 0: the timer is idle
};

}  // namespace loyal::replica
