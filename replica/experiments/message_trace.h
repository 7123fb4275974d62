// MessageTrace: the last protocol messages that a replica sent to its peers and took from them, for the lab's sequence
// diagrams (`trace since=US`). Sent is what left the replica, whatever a bad link made of it then; received is what
// decoded and verified. Bounded: limits::message_trace_max, the oldest go first. Single-threaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "config/limits.h"
#include "consensus/messages.h"

namespace loyal::replica {

class MessageTrace {
 public:
    explicit MessageTrace(consensus::ReplicaId self, std::size_t entries_max = limits::message_trace_max)
        : self_(self), entries_max_(entries_max) {}

    // `now_us` of CLOCK_MONOTONIC, which all processes of a machine share.
    void sent(consensus::ReplicaId to, const consensus::PeerMessage& message, std::uint64_t now_us) {
        add(true, to, message, now_us);
    }
    void received(consensus::ReplicaId from, const consensus::PeerMessage& message, std::uint64_t now_us) {
        add(false, from, message, now_us);
    }

    // {"replica": 0, "messages": [{"us", "dir": "sent"|"received", "peer", "kind", "view", "height", "detail"}, ...],
    // "more": false}, oldest first, from `since_us` on, at most `bytes_max` long; "more" says that newer ones were left
    // out.
    [[nodiscard]] std::string json(std::uint64_t since_us,
                                   std::size_t bytes_max = limits::control_text_bytes_max) const;

 private:
    struct Entry {
        std::uint64_t at_us = 0;
        bool sent = false;
        consensus::ReplicaId peer;
        const char* kind = "";
        std::uint64_t view = 0, height = 0;
        std::string detail;
    };
    void add(bool sent, consensus::ReplicaId peer, const consensus::PeerMessage& message, std::uint64_t now_us);

    consensus::ReplicaId self_;
    std::size_t entries_max_;
    std::vector<Entry> ring_;
    std::size_t next_ = 0;  // the oldest, once the ring is full
};

}  // namespace loyal::replica
