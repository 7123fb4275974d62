// Selective omission: some peers hear nothing of it, the others hear everything. Those few must learn what happens from
// the rest, and must not take a working replica for a dead one so often that the cluster suffers.
#include "replica/faults/arguments.h"
#include "replica/faults/behaviours.h"

namespace loyal::replica::faults {
namespace {

class MuteTo final : public FaultModel {
 public:
    explicit MuteTo(std::set<consensus::ReplicaId> unheard) : unheard_(std::move(unheard)) {}

    [[nodiscard]] std::string name() const override { return "mute-to"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        return unheard_.contains(send.to) ? std::vector<PeerSend>() : one(std::move(send));
    }

 private:
    std::set<consensus::ReplicaId> unheard_;
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_mute_to(const FaultContext& context, const std::string& argument) {
    auto ids = ids_of(context, argument);
    if (!ids) {
        return tl::unexpected(ids.error());
    }
    return std::make_unique<MuteTo>(std::move(*ids));
}

}  // namespace loyal::replica::faults
