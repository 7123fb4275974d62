// A replica that goes on working but says nothing, to peers or to clients: to others it looks crashed, to itself it
// does not (the mute process of Doudou et al.; the simplest Byzantine primary of PBFT's liveness section).
#include "replica/faults/behaviours.h"

namespace loyal::replica::faults {
namespace {

class Silent final : public FaultModel {
 public:
    [[nodiscard]] std::string name() const override { return "silent"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend) override { return {}; }
    [[nodiscard]] std::vector<wire::ReplicaMessage> to_client(const consensus::ClientId&,
                                                              wire::ReplicaMessage) override {
        return {};
    }
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_silent(const FaultContext&, const std::string&) {
    return std::make_unique<Silent>();
}

}  // namespace loyal::replica::faults
