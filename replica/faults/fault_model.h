// FaultModel: what turns an otherwise honest replica into a faulty one. A decorator between the node and the world:
// it sees what leaves and may drop, change or add; an honest replica has no branch for it. The same classes run in
// loyald and in the simulator. All randomness comes from `seed`. One file a behaviour; listed in registry.cpp.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/result.h"
#include "consensus/input_effect.h"
#include "consensus/verifier.h"
#include "wire/client_messages.h"

namespace loyal::replica {

// All references outlive the model. `signer` is the replica's raw key, without the signing guard.
struct FaultContext {
    const consensus::Membership& membership;
    consensus::ReplicaId self;
    const crypto::Signer& signer;
    std::uint64_t seed = 0;
};

struct PeerSend {
    consensus::ReplicaId to;
    consensus::PeerMessage message;
};

class FaultModel {
 public:
    virtual ~FaultModel() = default;
    [[nodiscard]] virtual std::string name() const = 0;
    // One message on its way to a peer; what is returned leaves instead.
    [[nodiscard]] virtual std::vector<PeerSend> to_peer(PeerSend send) = 0;
    [[nodiscard]] virtual std::vector<wire::ReplicaMessage> to_client(const consensus::ClientId& client,
                                                                      wire::ReplicaMessage message) = 0;
};

// "none", "silent" (sends nothing), "equivocate" (as primary, different proposals to different replicas, and votes for
// all of them), "lie-to-clients" (wrong values and outcomes).
[[nodiscard]] std::vector<std::string> fault_names();
// "none" gives a null pointer. Unknown names are an error that lists the known ones.
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_fault(std::string_view name, const FaultContext& context);

}  // namespace loyal::replica
