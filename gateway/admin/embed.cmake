# Writes a C++ source that holds files as text (gateway/admin/dashboard.hpp):
#   cmake -DOUT=embedded.cpp "-DNAMES=a.html;b.js" "-DFILES=/there/a.html;/there/b.js" -P gateway/admin/embed.cmake
set(text "#include \"admin/dashboard.hpp\"\n\nnamespace gateway {\n\n")
string(APPEND text "const std::vector<embedded_file> embedded_files{\n")
foreach(name file IN ZIP_LISTS NAMES FILES)
    file(SIZE ${file} size)
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${bytes}")
    string(APPEND text "    {\"${name}\", {\"${bytes}\", ${size}}},\n")
endforeach()
string(APPEND text "};\n\n}  // namespace gateway\n")
file(WRITE ${OUT} "${text}")
