// Forgets at every restart what it must never forget: what it voted for, what it locked, what it promised. It still
// knows which view it was in and what was executed, so it takes part at once, may vote for another block of the same
// view, and tells the next view change that it locked nothing (pitfalls 2, 3 and 10: why votes and promises are durable
// before they leave).
#include "replica/faults/behaviours.h"

namespace loyal::replica::faults {
namespace {

class Amnesia final : public FaultModel {
 public:
    explicit Amnesia(const consensus::BlockRef& genesis) : genesis_(genesis) {}

    [[nodiscard]] std::string name() const override { return "amnesia"; }
    void recovered(consensus::Recovered& recovered) override {
        if (recovered.fresh) {
            return;
        }
        consensus::VotingState& voting = recovered.voting;
        voting.promised = voting.entered;
        voting.leading = -1;
        voting.prep = {voting.entered, recovered.new_view ? recovered.new_view->base.block : genesis_};
        voting.lock = {consensus::LockView(), genesis_};
        recovered.lock_certificate.reset();
        recovered.view_change.reset();
    }

 private:
    consensus::BlockRef genesis_;
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_amnesia(const FaultContext& context, const std::string&) {
    return std::make_unique<Amnesia>(consensus::genesis_block(context.membership.context));
}

}  // namespace loyal::replica::faults
