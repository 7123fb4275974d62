// StateView: the state's tables as of now, read through the overlay: the active generation hides the frozen one, which
// hides the store. Kept for one block or one read; it holds a read transaction of the store from its first look there
// on. Between the commit of a frozen generation and its drop both hold the same data, so it does not matter which of
// the two a transaction sees. What the records of a table mean is for others (key_reader.h).
//
// What is not there is proved to be absent, and a walk proves that it passed everything (linked_table.h): a record that
// the store hides is an error and never 'not found'.
//
// Errors: Errc::corrupted when a record does not match its seal or its neighbours, Errc::io. One thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "kvstore/kv_tables.h"
#include "kvstore/overlay.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

class StateView {
 public:
    // Both outlive the view.
    StateView(Store& store, const Overlay& overlay) : store_(store), overlay_(overlay) {}

    // The view in the answer lives until the overlay changes that record or the view ends.
    [[nodiscard]] Result<std::optional<ByteView>> find(StateTable table, ByteView key);
    // Null when there is none.
    [[nodiscard]] Result<std::shared_ptr<const Session>> session(const SessionKey& key);

    // `visit` says whether to go on. Calls it for every record of begin <= key < end (an empty `end`: no bound), in
    // order or in reverse. The overlay does not change meanwhile.
    using Visitor = std::function<Result<bool>(ByteView key, ByteView content)>;
    [[nodiscard]] Result<void> walk(StateTable table, ByteView begin, ByteView end, bool reverse, const Visitor& visit);
    // Entries that walks of this view looked at so far.
    [[nodiscard]] std::uint64_t scanned() const { return scanned_; }
    void count_scanned(std::uint64_t entries) { scanned_ += entries; }

 private:
    [[nodiscard]] Result<const ReadTxn*> transaction();

    Store& store_;
    const Overlay& overlay_;
    std::unique_ptr<ReadTxn> transaction_;
    std::uint64_t scanned_ = 0;
};

}  // namespace loyal::kvstore
