#include "replica/signing_guard.h"

#include <algorithm>
#include <array>
#include <utility>

#include "config/limits.h"
#include "consensus/quorum.h"
#include "crypto/canonical.h"

namespace loyal::replica {
namespace {

using consensus::SignDomain;

// Two views of re-sends at the widest window fit many times over.
constexpr std::size_t remembered_max = 1024;
// More heights than there are receipts for (ReceiptBook).
constexpr std::size_t receipts_remembered_max = 2 * limits::receipt_heights_max;

std::int64_t signed_view(consensus::View view) {
    return static_cast<std::int64_t>(view.value);
}

crypto::Digest key_of(SignDomain domain, ByteView content) {
    const auto tag = static_cast<std::uint8_t>(domain);
    return crypto::Hasher("guard").update(ByteView(&tag, 1)).update(content).finish();
}

tl::unexpected<Error> contradiction(const char* what) {
    return fail(Errc::conflict, std::string("refused to sign: ") + what);
}

// One statement a height; of the last heights only.
template <class Statement>
Result<void> allow_once(std::map<consensus::Height, Statement>& said, consensus::Height height,
                        const Statement& statement) {
    const auto [before, is_new] = said.try_emplace(height, statement);
    if (!is_new) {
        return before->second == statement ? Result<void>()
                                           : contradiction("a second statement about what one height came to");
    }
    if (said.size() <= receipts_remembered_max) {
        return {};
    }
    const bool too_old = said.begin() == before;
    said.erase(said.begin());
    return too_old ? contradiction("a statement about a height far below those signed last") : Result<void>();
}

}  // namespace

bool SigningHistory::Head::outranks(std::int64_t other_view, consensus::Height other_height) const {
    return std::pair(view, block.height) > std::pair(other_view, other_height);
}

SigningHistory::SigningHistory(const consensus::ClusterContext& context, std::size_t n, consensus::ReplicaId self,
                               const consensus::Recovered& recovered)
    : context_(context), n_(n), self_(self), silent_(recovered.voting.amnesiac || !recovered.votes_lost.empty()) {
    if (recovered.fresh) {
        return;
    }
    const consensus::VotingState& voting = recovered.voting;
    promised_ = signed_view(voting.promised);
    entered_ = signed_view(voting.entered);
    led_before_restart_ = voting.leading;
    prep_ = {signed_view(voting.prep.view), voting.prep.block};
    com_ = {voting.lock.view.value, voting.lock.block};
    if (recovered.view_change && recovered.view_change->voter == self_) {
        view_change_ = signed_view(recovered.view_change->new_view);
        remember(key_of(SignDomain::view_change, consensus::view_change_content(*recovered.view_change)));
    }
    if (recovered.new_view && recovered.new_view->leader == self_) {
        new_view_ = signed_view(recovered.new_view->view);
        remember(key_of(SignDomain::new_view, consensus::new_view_content(*recovered.new_view)));
    }
}

void SigningHistory::remember(const crypto::Digest& key) {
    if (!allowed_.insert(key).second) {
        return;
    }
    allowed_order_.push_back(key);
    if (allowed_order_.size() > remembered_max) {
        allowed_.erase(allowed_order_.front());
        allowed_order_.pop_front();
    }
}

// E8. After a restart the same blocks are executed again, with the same results: what was signed before need not be
// remembered beyond this run.
Result<void> SigningHistory::allow(const consensus::ReceiptStatement& receipt) {
    if (receipt.replica != self_) {
        return contradiction("a receipt in another replica's name");
    }
    if (silent_) {
        return contradiction("a receipt, while votes may have been forgotten");
    }
    return allow_once(receipts_, receipt.block.height, receipt);
}

Result<void> SigningHistory::allow(const kvstore::StateRoot& root) {
    return silent_ ? contradiction("a root, while votes may have been forgotten")
                   : allow_once(roots_, root.height, root.root);
}

// A2, A5. The lock of view u ends the silence: nothing of u or below is said any more.
void SigningHistory::persisting(const consensus::VotingState& voting) {
    if (silent_ && !voting.amnesiac) {
        promised_ = std::max(promised_, voting.lock.view.value + 1);
    }
    silent_ = voting.amnesiac;
}

bool SigningHistory::repeats(const consensus::PeerMessage& message) const {
    if (const auto* vote = std::get_if<consensus::Vote>(&message)) {
        return known(key_of(SignDomain::vote, consensus::vote_content(*vote)));
    }
    if (const auto* change = std::get_if<consensus::ViewChange>(&message)) {
        return known(key_of(SignDomain::view_change, consensus::view_change_content(*change)));
    }
    if (const auto* new_view = std::get_if<consensus::NewView>(&message)) {
        return new_view->leader != self_ || known(key_of(SignDomain::new_view, consensus::new_view_content(*new_view)));
    }
    return !std::holds_alternative<consensus::Propose>(message) &&
           !std::holds_alternative<consensus::PreVoteGrant>(message);
}

// Rules N4, N5, V2; I2, I3.
Result<void> SigningHistory::allow(const consensus::Vote& vote) {
    const crypto::Digest key = key_of(SignDomain::vote, consensus::vote_content(vote));
    if (known(key)) {
        return {};
    }
    const std::int64_t view = signed_view(vote.view);
    if (vote.voter != self_) {
        return contradiction("a vote in another replica's name");
    }
    if (view < promised_) {
        return contradiction("a vote below the promised view");
    }
    if (vote.has_commit() &&
        (vote.com.height > vote.prep.height || (vote.com.height == vote.prep.height && vote.com.id != vote.prep.id))) {
        return contradiction("a commit head that is not on the prepared chain");
    }
    if (view == prep_.view && vote.prep.height < prep_.block.height) {
        return contradiction("a prepare head below an earlier one of the view");
    }
    if (view == prep_.view && vote.prep.height == prep_.block.height && vote.prep.id != prep_.block.id) {
        return contradiction("a second prepare digest for one view and height");
    }
    if (vote.has_commit() && view == com_.view && vote.com.height < com_.block.height) {
        return contradiction("a commit head below an earlier one of the view");
    }
    if (vote.has_commit() && view == com_.view && vote.com.height == com_.block.height &&
        vote.com.id != com_.block.id) {
        return contradiction("a second commit digest for one view and height");
    }
    prep_ = {view, vote.prep};
    if (vote.has_commit()) {
        com_ = {view, vote.com};
    }
    promised_ = view;
    entered_ = std::max(entered_, view);
    remember(key);
    return {};
}

// Rules V2, V3; evidence E3, E4, E7.
Result<void> SigningHistory::allow(const consensus::ViewChange& message) {
    const crypto::Digest key = key_of(SignDomain::view_change, consensus::view_change_content(message));
    if (known(key)) {
        return {};
    }
    const std::int64_t view = signed_view(message.new_view);
    if (message.voter != self_) {
        return contradiction("a view change in another replica's name");
    }
    if (view < promised_ || view <= entered_) {
        return contradiction("a view change to a view already passed");
    }
    if (view <= view_change_) {
        return contradiction("a second view change for one view");
    }
    if (!message.lock.view.before(message.new_view)) {
        return contradiction("a lock of the view that is asked for");
    }
    if (com_.outranks(message.lock.view.value, message.lock.block.height)) {
        return contradiction("a view change that hides the own lock");
    }
    if (prep_.outranks(signed_view(message.last_prep.view), message.last_prep.block.height)) {
        return contradiction("a view change that hides the last prepare vote");
    }
    promised_ = view;
    view_change_ = view;
    remember(key);
    return {};
}

// Rules N1, V4, D3: one NEWVIEW a view, ever.
Result<void> SigningHistory::allow(const consensus::NewView& message) {
    if (message.leader != self_) {
        return {};  // handed on for another leader; it carries that leader's signature
    }
    const crypto::Digest key = key_of(SignDomain::new_view, consensus::new_view_content(message));
    if (known(key)) {
        return {};
    }
    const std::int64_t view = signed_view(message.view);
    if (consensus::leader_of(message.view, n_) != self_) {
        return contradiction("a NEWVIEW of a view that another replica leads");
    }
    if (view < promised_) {
        return contradiction("a NEWVIEW below the promised view");
    }
    if (view <= led_before_restart_) {
        return contradiction("a NEWVIEW of a view led before the restart");
    }
    if (view <= new_view_) {
        return contradiction("a second NEWVIEW for one view");
    }
    new_view_ = view;
    promised_ = view;
    remember(key);
    return {};
}

// Rules N1, N3, D3; evidence E1.
Result<void> SigningHistory::allow(const consensus::Propose& message) {
    if (!message.block) {
        return contradiction("a proposal without a block");
    }
    const consensus::Block& block = *message.block;
    const crypto::Digest key = key_of(SignDomain::propose, block.id.view());
    if (known(key)) {
        return {};
    }
    const std::int64_t view = signed_view(block.header.view);
    if (consensus::leader_of(block.header.view, n_) != self_) {
        return contradiction("a proposal in a view that another replica leads");
    }
    if (block.id != consensus::header_id(context_, block.header)) {
        return contradiction("a block whose id is not its header's");
    }
    if (view < promised_) {
        return contradiction("a proposal below the promised view");
    }
    if (view <= led_before_restart_) {
        return contradiction("a proposal in a view led before the restart");
    }
    if (proposed_.view == view && block.header.height <= proposed_.block.height) {
        return contradiction("a second proposal for one view and height");
    }
    proposed_ = {view, block.ref()};
    remember(key);
    return {};
}

SigningGuard::SigningGuard(const crypto::Signer& key, const consensus::ClusterContext& context, std::size_t n,
                           consensus::ReplicaId self, const consensus::Recovered& recovered)
    : key_(key), context_(context), self_(self), history_(context, n, self, recovered) {}

crypto::Signature SigningGuard::sign(ByteView message) const {
    if (const Result<void> allowed = check_signed(message); !allowed) {
        ++refusals_;
        last_refusal_ = allowed.error().message;
        return {};
    }
    ++signatures_;
    return key_.sign(message);
}

// A block id says nothing of its view and height, and a NEWVIEW's content has no decoder of its own: these two are
// held back by `check` instead, before anything leaves.
Result<void> SigningGuard::check_signed(ByteView message) const {
    crypto::CanonicalReader reader(message);
    const ByteView magic = reader.raw(4);
    const auto domain = static_cast<SignDomain>(reader.number<std::uint8_t>());
    const crypto::Digest cluster_id = reader.digest();
    const consensus::Epoch epoch(reader.number<std::uint32_t>());
    if (!reader.ok() || text_of(magic) != "LKV1" || cluster_id != context_.cluster_id || epoch != context_.epoch) {
        return contradiction("bytes that are no message of this cluster and epoch");
    }
    const ByteView content = reader.raw(reader.left());
    // The decoders of the log expect what follows the content there: a signature, and no certificate.
    static constexpr std::array<std::uint8_t, 65> tail{};
    Bytes padded(content.begin(), content.end());
    switch (domain) {
        case SignDomain::vote: {
            padded.insert(padded.end(), tail.begin(), tail.begin() + 64);
            const auto vote = consensus::decode_vote(padded);
            return vote ? history_.allow(*vote) : contradiction("bytes that are no vote");
        }
        case SignDomain::view_change: {
            padded.insert(padded.end(), tail.begin(), tail.end());
            const auto change = consensus::decode_view_change(padded);
            return change ? history_.allow(*change) : contradiction("bytes that are no view change");
        }
        case SignDomain::propose:
            return content.size() == 32 ? Result<void>() : contradiction("a block id of the wrong length");
        case SignDomain::new_view: return {};
        case SignDomain::receipt: {
            const auto receipt = consensus::decode_receipt_content(content);
            return receipt ? history_.allow(*receipt) : contradiction("bytes that are no receipt");
        }
        case SignDomain::state_root: {
            crypto::CanonicalReader root(content);
            const consensus::Height height(root.number<std::uint64_t>());
            const crypto::Digest digest = root.digest();
            const consensus::ReplicaId replica(root.number<std::uint16_t>());
            return root.finish() && replica == self_ ? history_.allow(kvstore::StateRoot{height, digest})
                                                     : contradiction("bytes that are no root of the own state");
        }
        default: return contradiction("a kind of message that the protocol core never signs");
    }
}

Result<void> SigningGuard::check(const consensus::PeerMessage& message) {
    Result<void> allowed;
    if (history_.silent() && !history_.repeats(message)) {
        allowed = contradiction("a replica that may have forgotten votes says nothing");
    } else if (const auto* vote = std::get_if<consensus::Vote>(&message)) {
        allowed = history_.allow(*vote);
    } else if (const auto* change = std::get_if<consensus::ViewChange>(&message)) {
        allowed = history_.allow(*change);
    } else if (const auto* new_view = std::get_if<consensus::NewView>(&message)) {
        allowed = history_.allow(*new_view);
    } else if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        allowed = history_.allow(*propose);
    }
    if (!allowed) {
        ++refusals_;
        last_refusal_ = allowed.error().message;
    }
    return allowed;
}

bool SigningGuard::holds_back(const consensus::PeerMessage& message) const {
    if (!history_.silent()) {
        return false;
    }
    if (const auto* new_view = std::get_if<consensus::NewView>(&message)) {
        return new_view->leader == self_;  // another's is handed on
    }
    return std::holds_alternative<consensus::Vote>(message) || std::holds_alternative<consensus::ViewChange>(message) ||
           std::holds_alternative<consensus::Propose>(message);
}

void SigningGuard::persisting(const consensus::Persist& persist) {
    for (const consensus::LogRecord& record : persist.records) {
        if (const auto* voting = std::get_if<consensus::VotingState>(&record)) {
            history_.persisting(*voting);
        }
    }
}

}  // namespace loyal::replica
