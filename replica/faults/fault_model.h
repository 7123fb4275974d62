// FaultModel: what turns an otherwise honest replica into a traitor. A decorator between the node and the world: it
// sees what leaves and what arrives and may drop, change, delay or add; an honest replica has no branch for it. The
// same classes run in loyald and in the simulator. All randomness comes from `seed`. One file a behaviour; listed in
// registry.cpp. Single-threaded: every call comes from the node.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/result.h"
#include "consensus/input_effect.h"
#include "consensus/verifier.h"
#include "kvstore/state_machine.h"
#include "replica/faults/fault_spec.h"
#include "wire/client_messages.h"

namespace loyal::replica {

// All references outlive the model. `signer` is the replica's raw key, without the signing guard.
struct FaultContext {
    const consensus::Membership& membership;
    consensus::ReplicaId self;
    const crypto::Signer& signer;
    std::uint64_t seed = 0;
    // Keys of fellow traitors who share theirs (collude); empty otherwise.
    std::map<consensus::ReplicaId, std::shared_ptr<const crypto::Signer>> accomplices;
    // Time-outs of the cluster, for who wants to stay just below them.
    std::uint64_t progress_min_ms = 400;
    std::uint64_t heartbeat_ms = 50;
    // Clients by their name in cluster.toml, for behaviours that single some out; ids are understood without it.
    std::map<std::string, consensus::ClientId> client_names = {};
};

struct PeerSend {
    consensus::ReplicaId to;
    consensus::PeerMessage message;
};

// What a traitor does of its own accord when time passes.
struct Misdeeds {
    std::vector<PeerSend> sends;
    std::vector<crypto::Verified<consensus::Envelope>> submissions;  // held back by `submit` before
};

class FaultModel {
 public:
    virtual ~FaultModel() = default;
    // With its arguments, as parse_fault reads it.
    [[nodiscard]] virtual std::string name() const = 0;

    // ---- On its way out
    // One message to a peer; what is returned leaves instead.
    [[nodiscard]] virtual std::vector<PeerSend> to_peer(PeerSend send) { return one(std::move(send)); }
    [[nodiscard]] virtual std::vector<wire::ReplicaMessage> to_client(const consensus::ClientId&,
                                                                      wire::ReplicaMessage message) {
        return one(std::move(message));
    }
    // The encoded frame of a message to a peer, inside the link's cipher.
    virtual void outgoing_frame(consensus::ReplicaId, Bytes&) {}

    // ---- On its way in
    // False: as if it had not been heard.
    [[nodiscard]] virtual bool from_peer(consensus::ReplicaId, const consensus::PeerMessage&) { return true; }
    [[nodiscard]] virtual bool from_client(const consensus::ClientId&, const wire::Read&) { return true; }
    // An admitted envelope, a client's own or handed over by a backup: what is returned reaches the core, now.
    [[nodiscard]] virtual std::vector<crypto::Verified<consensus::Envelope>> submit(
        crypto::Verified<consensus::Envelope> envelope) {
        return one(std::move(envelope));
    }
    [[nodiscard]] virtual std::uint64_t wall_ms(std::uint64_t now) { return now; }
    virtual void executed(kvstore::ExecutedBlock&) {}

    // ---- Time: `now_ms` of a monotonic clock
    [[nodiscard]] virtual Misdeeds tick(std::uint64_t /*now_ms*/) { return {}; }

    // ---- At a restart, before the core sees what the log holds
    virtual void recovered(consensus::Recovered&) {}

 protected:
    template <class T>
    static std::vector<T> one(T value) {
        std::vector<T> out;
        out.push_back(std::move(value));
        return out;
    }
};

// The behaviours of a `byzantine` spec, one around the other in their order; a null pointer for the other kinds, which
// are the driver's. Errc::invalid_argument: an argument that makes no sense in this cluster (a replica id, an
// accomplice whose key is not in the context).
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_fault(const FaultSpec& spec, const FaultContext& context);

}  // namespace loyal::replica
