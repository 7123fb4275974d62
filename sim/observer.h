// Observer: somebody who watches a run (the lab). It is told everything and changes nothing: the same scenario gives
// the same trace with and without one.
#pragma once

#include <optional>
#include <string>

#include "consensus/core.h"
#include "consensus/evidence.h"
#include "kvstore/state_machine.h"
#include "sim/checkers/linearizability.h"
#include "sim/scheduler.h"

namespace loyal::sim {

struct ReplicaSample {
    consensus::ReplicaId replica;
    bool up = false;
    consensus::Status status;    // while up
    consensus::Height executed;  // likewise
    crypto::Digest digest;       // of the state after `executed`; zero at height 0
    std::string fault = "none";  // what it was told to do
};

struct MessageSeen {
    std::uint64_t id = 0;            // of this message to this receiver
    std::uint16_t from = 0, to = 0;  // clients count from 1000
    const char* kind = "";
    std::uint64_t view = 0, height = 0;
    std::string detail;
};

struct OperationSeen {
    enum class Status : std::uint8_t { ok, fail, unknown };
    std::size_t client = 0;
    std::string key;
    RegisterOp op;  // its `call` and `ret` are moments, not times
    Status status = Status::unknown;
    TimeUs call_us = 0, ret_us = 0;
};

struct CostsSeen {  // of the correct replicas
    std::uint64_t messages = 0, bytes = 0, signatures = 0, verifications = 0, syncs = 0;
};

class Observer {
 public:
    enum class Happening : std::uint8_t { crash, restart, view, violation, note };

    virtual ~Observer() = default;
    // Every RunOptions::sample_us, before the samples of that moment. False: the run ends here.
    [[nodiscard]] virtual bool moment(TimeUs) { return true; }
    virtual void sampled(TimeUs, const ReplicaSample&) {}
    virtual void happened(TimeUs, Happening, std::optional<consensus::ReplicaId>, const std::string&) {}
    // `replica` is who it is about, when there is one; after roles were looked up.
    virtual void injected(TimeUs, std::size_t /*index of the plan*/, std::optional<consensus::ReplicaId>) {}
    [[nodiscard]] virtual bool wants_messages(TimeUs) { return false; }
    virtual void sent(TimeUs, const MessageSeen&) {}
    virtual void received(TimeUs, std::uint64_t /*id*/) {}
    virtual void executed(consensus::ReplicaId, consensus::Height, const crypto::Digest&) {}
    virtual void answered(const OperationSeen&) {}
    // A key read after everything else (Ending::read_back); absent: no such key. `version` is kvstore::Item's.
    virtual void read_back(const std::string& /*key*/, const std::optional<std::string>& /*value*/,
                           std::uint64_t /*version*/) {}
    // `verified`: the proof convinces without anything but the cluster's keys.
    virtual void convicted(TimeUs, consensus::ReplicaId /*by*/, const consensus::Evidence&, bool /*verified*/) {}
    virtual void ended(TimeUs, const CostsSeen&) {}
};

}  // namespace loyal::sim
