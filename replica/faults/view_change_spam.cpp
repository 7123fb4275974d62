// Asks for new views all the time: VIEW-CHANGEs for the next views, valid in themselves, every tick and to everybody
// (in the crash fault model also pre-votes). One more replica that loses patience would then be w of them, so every
// short hiccup of a good primary is turned into its fall; alone they move nobody (V1).
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::View;
using consensus::ViewChange;

class ViewChangeSpam final : public FaultModel {
 public:
    explicit ViewChangeSpam(const FaultContext& context)
        : context_(context),
          pen_(context_),
          watch_(context_),
          genesis_(consensus::genesis_block(context.membership.context)) {}

    [[nodiscard]] std::string name() const override { return "view-change-spam"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        watch_.sent(send.message);
        if (const auto* change = std::get_if<ViewChange>(&send.message)) {
            real_ = *change;
        }
        return one(std::move(send));
    }
    [[nodiscard]] Misdeeds tick(std::uint64_t) override {
        Misdeeds deeds;
        // The next views in turn, as many as there are replicas: one of them has any primary that it might want.
        const View wanted = watch_.entered().plus(1 + asked_++ % context_.membership.replicas.size());
        tell_all(context_, demand(wanted), deeds.sends);
        if (is_crash_model(context_)) {
            tell_all(context_, consensus::PreVote{wanted}, deeds.sends);
        }
        return deeds;
    }

 private:
    // With the lock that it last had to report, or none: then it hides one (evidence E4), which also harms nobody.
    [[nodiscard]] ViewChange demand(View view) const {
        ViewChange message;
        message.lock = {consensus::LockView(), genesis_};
        message.last_prep = {View(0), genesis_};
        if (real_ && real_->lock.view.before(view) && real_->last_prep.view < view) {
            message = *real_;
        }
        message.new_view = view;
        message.voter = context_.self;
        return pen_.sealed(std::move(message));
    }

    FaultContext context_;
    Pen pen_;
    ViewWatch watch_;
    consensus::BlockRef genesis_;
    std::optional<ViewChange> real_;
    std::uint64_t asked_ = 0;
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_view_change_spam(const FaultContext& context, const std::string&) {
    return std::make_unique<ViewChangeSpam>(context);
}

}  // namespace loyal::replica::faults
