#include "sim/checkers/signing_ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace loyal::sim {

using consensus::BlockRef;
using consensus::LockView;
using consensus::Vote;

namespace {

crypto::Digest content_of(const consensus::ViewChange& message) {
    return crypto::digest_of("sim-vc", consensus::view_change_content(message));
}
crypto::Digest content_of(const consensus::NewView& message) {
    return crypto::digest_of("sim-nv", consensus::new_view_content(message));
}
std::string text(const BlockRef& block) {
    return fmt::format("{}@{}", block.id.short_hex(), block.height.value);
}

}  // namespace

bool HeaderTree::comparable(const BlockRef& a, const BlockRef& b) const {
    const BlockRef& low = a.height <= b.height ? a : b;
    const BlockRef& high = a.height <= b.height ? b : a;
    crypto::Digest at = high.id;
    for (std::uint64_t height = high.height.value; height > low.height.value; --height) {
        const auto found = parents_.find(at);
        if (found == parents_.end() || found->second.height != height) {
            return true;  // not known here: no proof
        }
        at = found->second.parent;
    }
    return at == low.id;
}

void SigningLedger::durable(const std::vector<consensus::LogRecord>& records) {
    for (const consensus::LogRecord& record : records) {
        if (const auto* voting = std::get_if<consensus::VotingState>(&record)) {
            voting_ = *voting;
            lost_ = false;
        } else if (const auto* change = std::get_if<consensus::ViewChangeRecord>(&record)) {
            durable_view_changes_[change->message.new_view] = content_of(change->message);
        } else if (const auto* view = std::get_if<consensus::NewViewRecord>(&record)) {
            durable_new_views_[view->message.view] = content_of(view->message);
        }
    }
}

void SigningLedger::disk_lost() {
    disk_rolled_back({});
    lost_ = true;
}

void SigningLedger::disk_rolled_back(const std::vector<consensus::LogRecord>& records) {
    voting_.reset();
    durable_view_changes_.clear();
    durable_new_views_.clear();
    lost_ = false;
    durable(records);
}

Finding SigningLedger::recovered(const consensus::Recovered& recovered) {
    if (std::exchange(put_back_, false) || (disk_lies_ && recovered.voting.amnesiac)) {
        voting_ = recovered.fresh ? std::nullopt : std::optional(recovered.voting);
        lost_ = false;
        return {};
    }
    if (lost_) {
        const bool knows = recovered.voting.amnesiac || !recovered.votes_lost.empty();
        return knows ? Finding() : Finding("a replica whose disk was lost starts as if it were new (A1)");
    }
    if (!voting_) {
        // Evidence may be on disk before the first voting state is.
        const consensus::VotingState& read = recovered.voting;
        const bool at_genesis = read.promised.value == 0 && read.leading == -1 && read.lock.view.is_genesis() &&
                                read.prep.block.height.value == 0;
        const bool initial = recovered.fresh || at_genesis;
        return initial ? Finding() : Finding("a voting state was read back that was never written");
    }
    if (recovered.fresh) {
        return "the voting state was lost";
    }
    if (recovered.voting != *voting_) {
        return fmt::format("the voting state read back (promised {}, prep {}) is not the durable one ({}, {})",
                           recovered.voting.promised.value, text(recovered.voting.prep.block), voting_->promised.value,
                           text(voting_->prep.block));
    }
    return {};
}

Finding SigningLedger::sent(const consensus::PeerMessage& message) {
    Finding finding;
    if (voting_ ? voting_->amnesiac : lost_) {
        finding = by_amnesiac(message);
    } else if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        finding = on_propose(*propose);
    } else if (const auto* vote = std::get_if<Vote>(&message)) {
        finding = on_vote(*vote);
    } else if (const auto* change = std::get_if<consensus::ViewChange>(&message)) {
        finding = on_view_change(*change);
    } else if (const auto* view = std::get_if<consensus::NewView>(&message)) {
        finding = on_new_view(*view);
    }
    if (finding) {
        finding = fmt::format("replica {} sent a {}: {}", self_.value, consensus::name_of(message), *finding);
    }
    return finding;
}

// A2. What it said before may be said again: on_view_change and on_vote know it.
Finding SigningLedger::by_amnesiac(const consensus::PeerMessage& message) const {
    bool says_something = std::holds_alternative<consensus::PreVoteGrant>(message);
    if (const auto* vote = std::get_if<Vote>(&message)) {
        says_something = last_vote_ != *vote;
    } else if (const auto* change = std::get_if<consensus::ViewChange>(&message)) {
        const auto said = view_changes_.find(change->new_view);
        says_something = said == view_changes_.end() || said->second.content != content_of(*change);
    } else if (const auto* view = std::get_if<consensus::NewView>(&message); view && view->leader == self_) {
        const auto said = new_views_.find(view->view);
        says_something = said == new_views_.end() || said->second != content_of(*view);
    } else if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        const consensus::Header& header = propose->block->header;
        const auto said = proposed_.find({header.view, header.height});
        const bool own = consensus::leader_of(header.view, membership_.replicas.size()) == self_;
        says_something = own && (said == proposed_.end() || said->second != propose->block->id);
    }
    return says_something ? Finding("it may have forgotten votes, and has to be silent (A2)") : Finding();
}

// E1, and the D-table's first row.
Finding SigningLedger::on_propose(const consensus::Propose& message) {
    const consensus::Header& header = message.block->header;
    if (consensus::leader_of(header.view, membership_.replicas.size()) != self_) {
        return {};  // handed on
    }
    const auto [said, first] = proposed_.try_emplace({header.view, header.height}, message.block->id);
    if (said->second != message.block->id) {
        return fmt::format("E1: two blocks in view {} at height {}", header.view.value, header.height.value);
    }
    if (first && (!voting_ || voting_->leading < static_cast<std::int64_t>(header.view.value))) {
        return fmt::format("leading={} is not durable", header.view.value);
    }
    return {};
}

Finding SigningLedger::vote_is_durable(const Vote& vote) const {
    if (!voting_) {
        return "no voting state is durable";
    }
    if (voting_->entered < vote.view || voting_->promised < vote.view) {
        return fmt::format("view {} is not durably entered", vote.view.value);
    }
    if (voting_->prep.view < vote.view ||
        (voting_->prep.view == vote.view && voting_->prep.block.height < vote.prep.height)) {
        return fmt::format("prep {} is not durable", text(vote.prep));
    }
    const std::pair<std::int64_t, std::uint64_t> rank{LockView(vote.view).value, vote.com.height.value};
    if (vote.has_commit() && voting_->lock.rank() < rank) {
        return fmt::format("the lock {} is not durable", text(vote.com));
    }
    return {};
}

// E3 and E4: what a VIEW-CHANGE reported is all that was voted before it.
Finding SigningLedger::contradicts(const Vote& vote, const SaidViewChange& said) const {
    const auto ahead = [&](std::int64_t view, const BlockRef& block, const BlockRef& head) {
        const auto own = LockView(vote.view).value;
        return own > view || (own == view && head.height > block.height);
    };
    if (ahead(LockView(said.last_prep.view).value, said.last_prep.block, vote.prep)) {
        return fmt::format("E3: voted {} in view {} but reported {} of view {}", text(vote.prep), vote.view.value,
                           text(said.last_prep.block), said.last_prep.view.value);
    }
    if (vote.has_commit() && ahead(said.lock.view.value, said.lock.block, vote.com)) {
        return fmt::format("E4: commit vote {} in view {} but reported lock {} of view {}", text(vote.com),
                           vote.view.value, text(said.lock.block), said.lock.view.value);
    }
    return {};
}

Finding SigningLedger::on_vote(const Vote& vote) {
    if (last_vote_ && *last_vote_ == vote) {
        return {};
    }
    last_vote_ = vote;
    if (vote.voter != self_) {
        return "it names another voter";
    }
    if (auto finding = vote_is_durable(vote)) {
        return finding;
    }
    const auto extend = [&](std::optional<BlockRef>& said, const BlockRef& now) {
        if (said && !tree_.comparable(*said, now)) {
            return false;
        }
        if (!said || said->height < now.height) {
            said = now;
        }
        return true;
    };
    SaidInView& said = votes_[vote.view];
    if (!extend(said.prep, vote.prep) || (vote.has_commit() && !extend(said.com, vote.com))) {
        return fmt::format("E2: votes for two chains in view {}", vote.view.value);
    }
    if (vote.has_commit() && !(vote.com.height <= vote.prep.height && tree_.comparable(vote.com, vote.prep))) {
        return "the commit head is not an ancestor of the prepare head (I4)";
    }
    for (auto change = view_changes_.upper_bound(vote.view); change != view_changes_.end(); ++change) {
        if (auto finding = contradicts(vote, change->second)) {
            return finding;
        }
    }
    return {};
}

Finding SigningLedger::on_view_change(const consensus::ViewChange& message) {
    const crypto::Digest content = content_of(message);
    const auto [said, first] =
        view_changes_.try_emplace(message.new_view, SaidViewChange{content, message.lock, message.last_prep});
    if (said->second.content != content) {
        return fmt::format("E7: two VIEW-CHANGEs for view {}", message.new_view.value);
    }
    if (!first) {
        return {};
    }
    const auto stored = durable_view_changes_.find(message.new_view);
    if (stored == durable_view_changes_.end() || stored->second != content) {
        return fmt::format("its bytes for view {} are not durable", message.new_view.value);
    }
    if (!voting_ || voting_->promised < message.new_view || voting_->lock.rank() < message.lock.rank()) {
        return fmt::format("the promise of view {} is not durable", message.new_view.value);
    }
    for (const auto& [view, votes] : votes_) {
        if (view >= message.new_view || !votes.prep) {
            continue;
        }
        Vote highest;
        highest.view = view;
        highest.prep = *votes.prep;
        highest.com = votes.com.value_or(BlockRef{});
        if (auto finding = contradicts(highest, said->second)) {
            return finding;
        }
    }
    return {};
}

Finding SigningLedger::on_new_view(const consensus::NewView& message) {
    if (message.leader != self_) {
        return {};  // handed on
    }
    const crypto::Digest content = content_of(message);
    const auto [said, first] = new_views_.try_emplace(message.view, content);
    if (said->second != content) {
        return fmt::format("E7: two NEWVIEWs for view {}", message.view.value);
    }
    const auto stored = durable_new_views_.find(message.view);
    if (first && (stored == durable_new_views_.end() || stored->second != content)) {
        return fmt::format("its bytes for view {} are not durable", message.view.value);
    }
    if (first && (!voting_ || voting_->leading < static_cast<std::int64_t>(message.view.value))) {
        return fmt::format("leading={} is not durable", message.view.value);
    }
    return {};
}

}  // namespace loyal::sim
