// Experiments: what a replica of a cluster made with --experiments carries with it so that it can be made to suffer
// while it runs. Other replicas have none of it: a null pointer, one branch. Everything runs on the event loop.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <utility>

#include "replica/experiments/faulty_links.h"
#include "replica/experiments/faulty_store.h"
#include "replica/experiments/message_trace.h"
#include "replica/faults/fault_spec.h"

namespace loyal::replica {

struct Experiments {
    Experiments(boost::asio::io_context& loop, std::size_t replicas, consensus::ReplicaId self,
                std::shared_ptr<DiskFaults> disk_faults, std::function<void(const LinkEnd&, SharedBytes)> leave,
                std::function<void()> flush)
        : links(loop, replicas, self, self.value, std::move(leave), std::move(flush)),
          disk(std::move(disk_faults)),
          trace(self),
          crash_timer(loop),
          pause_timer(loop) {}

    FaultyLinks links;
    std::shared_ptr<DiskFaults> disk;
    MessageTrace trace;
    FaultSpec process;  // none, crash_stop or crash_recovery
    boost::asio::steady_timer crash_timer;
    boost::asio::steady_timer pause_timer;
    std::uint64_t rotten_bits = 0;
};

}  // namespace loyal::replica
